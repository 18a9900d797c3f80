"""Comma-separated values (RFC 4180), with the delimiter found in the header when it is another."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from tunesmith.data.read.decode import open_text
from tunesmith.data.read.delimited import rows
from tunesmith.data.readers import Broken, Row, TextReader


class Csv(TextReader):
    """One row a line, values with commas or line ends in double quotes."""

    suffixes: ClassVar[tuple[str, ...]] = (".csv",)

    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """What parts the values; found in the header line (`,` `;` tab or `|`) when left out."""
    columns: list[str] | None = Field(default=None, min_length=1)
    """Names of the columns when the file has no header line; the first line is the header when left out."""

    def rows(self, path: Path) -> Iterator[Row | Broken]:
        encoding = self.written_in(path).name
        delimiter = self.delimiter or _delimiter(path, encoding)
        yield from rows(path, encoding, delimiter, csv.QUOTE_MINIMAL, self.columns)


def _delimiter(path: Path, encoding: str) -> str:
    with open_text(path, encoding) as file:
        header = file.readline(2**16)
    outside = "".join(header.split('"')[::2])
    return max(",;\t|", key=lambda mark: (outside.count(mark), -",;\t|".index(mark)))
