"""Readers: a file format each. The file name is the format's name in a spec, `format: csv`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tunesmith.part import Part

MAX_ROW_BYTES = 8 * 2**20
"""A longer row of a line format is broken: no tokenizer's context holds 8 MiB."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands in the file."""

    values: dict[str, Any]
    """Column -> value, plain Python values."""
    where: str
    """`tickets.jsonl:17`; a row number where lines do not exist."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that cannot be read. It is counted and kept, never fatal by itself."""

    where: str
    reason: str
    """A short constant phrase, so that reasons can be counted."""
    excerpt: str
    """Its first characters."""


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

    def encoding(self, path: Path) -> str:
        """The character encoding `rows` reads with, for the ledger; empty for binary formats."""
        return ""


def excerpt(text: str, length: int = 200) -> str:
    """The beginning of `text` on one line, safe to print and to write as UTF-8."""
    short = text[:length] + ("..." if len(text) > length else "")
    return "".join(c if c.isprintable() else " " for c in short.encode("utf-8", "replace").decode("utf-8"))
