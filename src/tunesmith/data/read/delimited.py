"""Rows of delimited text, for the csv and tsv readers."""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

from tunesmith.data.read.decode import open_text
from tunesmith.data.read.encodings import NOT_ITS_ENCODING, REPAIRED, repaired, undecoded
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
        lines = _Lines(file)
        reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
        while True:
            where = f"{path.name}:{lines.begin()}"
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                row: Row | Broken = _unparsed(str(error), where, lines)
            else:
                if columns is None:
                    columns = _header(values, where)
                    continue
                if not any(values):
                    continue
                row = _row(values, columns, where, delimiter)
            if isinstance(row, Broken):
                lines.put_back()
            yield row


class _Lines:
    """The lines of a file, those of the latest row at hand.

    A quote that is never closed makes one row of all that follows; the lines it took are then read again, so that
    one fault costs one row.
    """

    def __init__(self, file: Iterator[str]) -> None:
        self._file = file
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._file)
        self._taken.append(line)
        return line

    def begin(self) -> int:
        """Begins a row; returns the number of its first line."""
        self._number += len(self._taken)
        self._taken = []
        return self._number + 1

    @property
    def first(self) -> str:
        """The first line of the row."""
        return self._taken[0] if self._taken else ""

    def put_back(self) -> None:
        """Returns all lines of the row but the first."""
        self._again.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]


def _unparsed(error: str, where: str, lines: _Lines) -> Broken:
    reason = (
        f"value longer than {MAX_ROW_BYTES // 2**20} MiB" if "field larger" in error else "quotes that do not match"
    )
    return Broken(where, reason, excerpt(lines.first))


def _header(values: list[str], where: str) -> list[str]:
    names = [value.strip() or f"column {number}" for number, value in enumerate(values, 1)]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(
            f"the column {twice[0]!r} stands twice in the header",
            where=where,
            fix="rename one of them, or give `format: {kind: csv, columns: [...]}` if the first line is no header",
        )
    return names


def _row(values: list[str], columns: list[str], where: str, delimiter: str) -> Row | Broken:
    notes: tuple[str, ...] = ()
    if not all(map(str.isascii, values)) and any(map(undecoded, values)):
        mended = [repaired(value) if undecoded(value) else value for value in values]
        if None in mended:
            return Broken(where, NOT_ITS_ENCODING, excerpt(delimiter.join(values)))
        values, notes = [value for value in mended if value is not None], (REPAIRED,)
    if len(values) != len(columns):
        few = len(values) < len(columns)
        said = excerpt(delimiter.join(values))
        return Broken(where, f"{'fewer' if few else 'more'} values than columns", said)
    return Row({name: value or None for name, value in zip(columns, values, strict=True)}, where, notes)
