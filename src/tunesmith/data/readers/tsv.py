"""Tab-separated values."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from tunesmith.data.read.decode import lines
from tunesmith.data.read.delimited import rows
from tunesmith.data.readers import MAX_ROW_BYTES, Broken, Row, TextReader


class Tsv(TextReader):
    """One row a line, values parted by tabs."""

    suffixes: ClassVar[tuple[str, ...]] = (".tsv", ".tab")

    quotes: bool | None = None
    """Whether double quotes enclose values; when left out, they do if one of the first 1,000 lines has such a value.
    Otherwise quotes are letters like any other, as most corpora in TSV mean them."""
    columns: list[str] | None = Field(default=None, min_length=1)
    """Names of the columns when the file has no header line; the first line is the header when left out."""

    def rows(self, path: Path) -> Iterator[Row | Broken]:
        encoding = self.written_in(path).name
        quotes = _quoted(path, encoding) if self.quotes is None else self.quotes
        yield from rows(path, encoding, "\t", csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE, self.columns)


def _quoted(path: Path, encoding: str) -> bool:
    """Whether a value of the first lines is wrapped in double quotes, on one line or beside a line that is short."""
    width, opened = 0, False
    for number, line in lines(path, encoding, MAX_ROW_BYTES):
        values = (line or "").split("\t")
        width = width or len(values)
        begins = values[-1].startswith('"')
        if any(map(_wrapped, values)) or (len(values) < width and (opened or begins)):
            return True
        opened = begins
        if number >= 1000:
            break
    return False


def _wrapped(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] == '"' and '"' not in value[1:-1].replace('""', "")
