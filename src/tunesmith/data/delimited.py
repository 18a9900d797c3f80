"""Rows of delimited text, for the csv and tsv readers."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from tunesmith.data.decode import open_text, undecoded
from tunesmith.data.readers import MAX_ROW_BYTES, Broken, Row, excerpt
from tunesmith.errors import DataError


def rows(path: Path, encoding: str, delimiter: str, quoting: int, columns: list[str] | None) -> Iterator[Row | Broken]:
    """Yields a row for each line (or quoted run of lines); empty values become None.

    Args:
        quoting: `csv.QUOTE_MINIMAL` or `csv.QUOTE_NONE`.
        columns: names when the file has no header line.

    Raises:
        DataError: two columns share a name.
    """
    csv.field_size_limit(MAX_ROW_BYTES)
    with open_text(path, encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
        for line, values in _parsed(reader, path.name):
            if isinstance(values, Broken):
                yield values
            elif columns is None:
                columns = _header(values, f"{path.name}:{line}")
            elif any(values):
                yield _row(values, columns, f"{path.name}:{line}", delimiter)


def _parsed(reader: Iterator[list[str]], name: str) -> Iterator[tuple[int, list[str] | Broken]]:
    """Pairs each row with its first line."""
    while True:
        line = reader.line_num + 1  # type: ignore[attr-defined]
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            too_long = "field larger" in str(error)
            reason = f"value longer than {MAX_ROW_BYTES // 2**20} MiB" if too_long else "quotes that do not match"
            yield line, Broken(f"{name}:{line}", reason, str(error))


def _header(values: list[str], where: str) -> list[str]:
    names = [value.strip() or f"column {number}" for number, value in enumerate(values, 1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"the column {twice[0]!r} stands twice in the header",
            where=where,
            fix="rename one of them, or give `format: {kind: csv, columns: [...]}` if the first line is no header",
        )
    return names


def _row(values: list[str], columns: list[str], where: str, delimiter: str) -> Row | Broken:
    said = excerpt(delimiter.join(values))
    if undecoded(said) or any(map(undecoded, values)):
        return Broken(where, "bytes that are not of the file's encoding", said)
    if len(values) != len(columns):
        few = len(values) < len(columns)
        return Broken(where, f"{'fewer' if few else 'more'} values than columns", said)
    return Row({name: value or None for name, value in zip(columns, values, strict=True)}, where)
