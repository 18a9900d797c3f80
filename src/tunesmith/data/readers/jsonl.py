"""JSON Lines: one object a line (https://jsonlines.org)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tunesmith.data.read.decode import blocks
from tunesmith.data.read.encodings import NOT_ITS_ENCODING, REPAIRED, repaired, undecoded
from tunesmith.data.read.stretches import cut
from tunesmith.data.read.strict_json import Refused, parse
from tunesmith.data.readers import MAX_ROW_BYTES, Broken, Row, Stretch, TextReader, excerpt

_MARK = "a byte order mark inside of the file left out"


class JsonLines(TextReader):
    """One JSON object a line; blank lines are skipped."""

    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def rows(self, path: Path) -> Iterator[Row | Broken]:
        return self.named_rows(path, path.name)

    def stretches(self, path: Path, size: int) -> list[Stretch]:
        return cut(path, size) if not self.written_in(path).name.startswith(("utf-16", "utf-32")) else []

    def rows_of(self, path: Path, stretch: Stretch) -> Iterator[Row | Broken]:
        return self.named_rows(path, path.name, stretch)

    def named_rows(self, path: Path, name: str, stretch: Stretch | None = None) -> Iterator[Row | Broken]:
        start, end, number = (stretch.start, stretch.end, stretch.line) if stretch else (0, None, 1)
        prefix = f"{name}:"
        for block in blocks(path, self.written_in(path).name, MAX_ROW_BYTES, start, end):
            for at, line in enumerate(block, number):
                if line is None:
                    yield Broken(f"{prefix}{at}", f"row longer than {MAX_ROW_BYTES // 2**20} MiB", "")
                elif line and (row := _row(line, f"{prefix}{at}")) is not None:
                    yield row
            number += len(block)


def _row(line: str, where: str) -> Row | Broken | None:
    """A line as a row; None for a blank one."""
    notes: tuple[str, ...] = ()
    if not line.isascii():
        if undecoded(line):
            mended = repaired(line)
            if mended is None:
                return Broken(where, NOT_ITS_ENCODING, excerpt(line))
            line, notes = mended, (REPAIRED,)
        if line[0] == "\ufeff":
            line, notes = line.lstrip("\ufeff"), (*notes, _MARK)
    try:
        value = parse(line)
    except Refused as refused:
        return Broken(where, refused.reason, excerpt(line)) if line.strip(" \t\x00") else None
    if not isinstance(value, dict):
        return Broken(where, "not a JSON object", excerpt(line))
    return Row(value, where, notes)
