"""Readers: a file format each. The file name is the format's name in a spec, `format: csv`."""

from __future__ import annotations

import codecs
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import field_validator

from tunesmith.data.read.decode import encoding_of
from tunesmith.data.read.encodings import Encoding
from tunesmith.part import Part

MAX_ROW_BYTES = 8 * 2**20
"""A longer row of a line format is broken: no tokenizer's context holds 8 MiB."""


class Row(NamedTuple):
    """One row as it stands in the file."""

    values: dict[str, Any]
    """Column -> value, plain Python values."""
    where: str
    """`tickets.jsonl:17`; a row number where lines do not exist."""
    notes: tuple[str, ...] = ()
    """Short constant phrases: what was odd about it and put right."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that cannot be read. It is counted and kept, never fatal by itself."""

    where: str
    reason: str
    """A short constant phrase, so that reasons can be counted."""
    excerpt: str
    """Its first characters."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some lines of a file, which can be read apart from the others."""

    start: int
    """Its first byte."""
    end: int
    """The byte after its last."""
    line: int
    """The number of its first line, from 1 on."""


class Reader(Part):
    """Reads one format."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    """File endings it is chosen for, compression endings left out."""

    @abstractmethod
    def rows(self, path: Path) -> Iterator[Row | Broken]:
        """Yields the file's rows in order, holding no more than one of them where the format allows.

        Raises:
            DataError: the file as a whole cannot be read in this format.
        """

    def stretches(self, path: Path, size: int) -> list[Stretch]:
        """The file in stretches of about `size` bytes, for `rows_of`; none where it is read in one piece."""
        return []

    def rows_of(self, path: Path, stretch: Stretch) -> Iterator[Row | Broken]:
        """The rows of one stretch; those of all stretches, one after the other, are those of `rows`."""
        raise NotImplementedError(f"{self.kind} reads files in one piece")

    def named_rows(self, path: Path, name: str, stretch: Stretch | None = None) -> Iterator[Row | Broken]:
        """The same, all or of one stretch, with `name` in place of the file's own in where they stand."""
        own = len(path.name)
        for row in self.rows(path) if stretch is None else self.rows_of(path, stretch):
            where = name + row.where[own:]
            yield Row(row.values, where, row.notes) if isinstance(row, Row) else replace(row, where=where)

    def written_in(self, path: Path) -> Encoding | None:
        """The character encoding `rows` reads with, for the ledger; None for binary formats."""
        return None


class TextReader(Reader):
    """Reads a format that is text."""

    encoding: str | None = None
    """The character encoding, such as `koi8-r`; told by the file's bytes when left out."""

    @field_validator("encoding")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        try:
            return None if name is None else codecs.lookup(name).name
        except (LookupError, ValueError):
            raise ValueError(f"no encoding {name!r}; write one such as utf-8, cp1252, koi8-r or shift_jis") from None

    def written_in(self, path: Path) -> Encoding:
        """As the spec says, else as the file's bytes say."""
        return encoding_of(path, self.encoding)


def excerpt(text: str, length: int = 200) -> str:
    """The beginning of `text` on one line, safe to print and to write as UTF-8."""
    short = text[:length] + ("..." if len(text) > length else "")
    return "".join(c if c.isprintable() else " " for c in short.encode("utf-8", "replace").decode("utf-8"))
