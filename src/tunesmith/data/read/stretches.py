"""A file of lines in stretches that can be read apart, each knowing the number of its first line."""

from __future__ import annotations

from pathlib import Path

from tunesmith.data.read.decode import BLOCK, compression
from tunesmith.data.readers import Stretch


def cut(path: Path, size: int) -> list[Stretch]:
    """Cuts a file at line ends into stretches of about `size` bytes.

    Lines are counted on the way, so that every row keeps its number.

    Returns:
        None of them where the file is compressed, or has lines that end with a lone `\\r`.
    """
    found: list[Stretch] = []
    start, line, at, lines = 0, 1, 0, 0
    with path.open("rb") as file:
        if compression(file.read(8)):
            return []
        file.seek(0)
        while block := file.read(min(BLOCK, size)):
            if block.endswith(b"\r"):
                block += file.read(1)
            if block.count(b"\r") != block.count(b"\r\n"):
                return []
            last = block.rfind(b"\n") + 1
            if at + len(block) - start >= size and last:
                lines += block.count(b"\n")
                found.append(Stretch(start, at + last, line))
                start, line, lines = at + last, line + lines, 0
            else:
                lines += block.count(b"\n")
            at += len(block)
    return [*found, Stretch(start, at, line)] if at > start else found
