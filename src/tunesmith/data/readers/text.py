"""Plain text: documents without columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from tunesmith.data.read.decode import open_text
from tunesmith.data.read.encodings import NOT_ITS_ENCODING, REPAIRED, repaired_lines, undecoded
from tunesmith.data.readers import Broken, Row, TextReader, excerpt
from tunesmith.errors import DataError

_MAX_FILE = 2**30


class Text(TextReader):
    """Prose in the column `text`."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".md", ".text", ".rst")

    unit: Literal["file", "paragraph", "line"] = "file"
    """What one row is: the whole file, a stretch between blank lines, or a line."""
    separator: str | None = "<|endoftext|>"
    """A line of its own that parts the documents of one file; null when there is none."""

    def rows(self, path: Path) -> Iterator[Row | Broken]:
        with open_text(path, self.written_in(path).name) as file:
            for line, text in self._units(iter(file), path):
                where = f"{path.name}:{line}"
                if not undecoded(text):
                    yield Row({"text": text}, where)
                elif (mended := repaired_lines(text)) is not None:
                    yield Row({"text": mended}, where, (REPAIRED,))
                else:
                    yield Broken(where, NOT_ITS_ENCODING, excerpt(text))

    def _units(self, file: Iterator[str], path: Path) -> Iterator[tuple[int, str]]:
        """Each unit with the number of its first line."""
        held: list[str] = []
        first, size = 1, 0
        for number, line in enumerate(file, 1):
            ends = line.strip() == self.separator or (self.unit == "paragraph" and not line.strip())
            if not ends:
                held.append(line)
                size += len(line)
            if held and (ends or self.unit == "line"):
                yield from _unit(first, held)
                held, size = [], 0
            if not held:
                first = number + 1
            if size > _MAX_FILE:
                raise DataError(
                    "a document of more than a billion characters",
                    where=f"{path.name}:{first}",
                    fix="part it by lines of `<|endoftext|>`, or write `format: {kind: text, unit: paragraph}`",
                )
        yield from _unit(first, held)


def _unit(first: int, held: list[str]) -> Iterator[tuple[int, str]]:
    text = "".join(held).strip("\n")
    if text.strip():
        yield first, text
