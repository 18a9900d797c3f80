"""JSON Lines: one object a line (https://jsonlines.org)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tunesmith.data.read.decode import encoding_of, lines, undecoded
from tunesmith.data.read.strict_json import Refused, parse
from tunesmith.data.readers import MAX_ROW_BYTES, Broken, Reader, Row, excerpt


class JsonLines(Reader):
    """One JSON object a line; blank lines are skipped."""

    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def encoding(self, path: Path) -> str:
        return encoding_of(path)

    def rows(self, path: Path) -> Iterator[Row | Broken]:
        for number, line in lines(path, self.encoding(path), MAX_ROW_BYTES):
            where = f"{path.name}:{number}"
            if line is None:
                yield Broken(where, f"row longer than {MAX_ROW_BYTES // 2**20} MiB", "")
            elif line.strip(" \t\x00\ufeff"):
                yield _row(line, where)


def _row(line: str, where: str) -> Row | Broken:
    if undecoded(line):
        return Broken(where, "bytes that are not of the file's encoding", excerpt(line))
    try:
        value = parse(line)
    except Refused as refused:
        return Broken(where, refused.reason, excerpt(line))
    if not isinstance(value, dict):
        return Broken(where, "not a JSON object", excerpt(line))
    return Row(value, where)
