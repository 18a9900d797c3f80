"""Bytes to characters: decompression by magic bytes, the encoding of a file, its lines.

Bytes that are not of the encoding become surrogate escapes, which readers repair or report row by row.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from tunesmith.data.read.encodings import Encoding, detect
from tunesmith.data.read.places.limits import Watched
from tunesmith.errors import DataError

COMPRESSIONS = (".gz", ".xz", ".bz2", ".zst")
"""Endings that say nothing about the format inside."""
BLOCK = 2**20

_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\x00", "xz"), (b"BZh", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstd"))
_LOOKED_AT = 2**20
_SEARCHED = 2**28
"""Bytes searched for the first one that is not ASCII."""
_BROKEN_STREAM = (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)


def compression(head: bytes) -> str | None:
    """How a file that begins with `head` is compressed: `gzip`, `xz`, `bzip2`, `zstd` or not at all."""
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


def decompressed(raw: BinaryIO, kind: str) -> BinaryIO:
    """The content of a compressed stream; how much comes out of how little is not watched here."""
    if kind == "zstd":
        import pyarrow

        return cast(BinaryIO, io.BufferedReader(pyarrow.input_stream(raw, compression="zstd")))
    opened: dict[str, Callable[[BinaryIO], object]] = {"gzip": gzip.open, "xz": lzma.open, "bzip2": bz2.open}
    return cast(BinaryIO, opened[kind](raw))


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for reading, decompressed when its first bytes say gzip, xz, bzip2 or zstd.

    Raises:
        DataError: the file cannot be opened or read, its compressed stream is cut short or damaged, or far more
            comes out of it than any data holds.
    """
    with refusing_damage(str(path)), path.open("rb") as raw:
        kind = compression(raw.read(8))
        raw.seek(0)
        if kind is None:
            yield raw
        else:
            yield cast(BinaryIO, io.BufferedReader(Watched(decompressed(raw, kind), raw.tell, str(path)), BLOCK))


@contextmanager
def refusing_damage(where: str) -> Iterator[None]:
    """Says what is wrong with a file that cannot be read to its end.

    Raises:
        DataError: the file cannot be read, or its compressed stream is damaged.
    """
    try:
        yield
    except _BROKEN_STREAM as error:
        raise DataError(
            f"the compressed file is damaged or cut short: {error}",
            where=where,
            fix="fetch or compress it again; `gzip -t` or `xz -t` tests it",
        ) from error
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror or error}",
            where=where,
            fix="check that the file exists, is whole, and may be read by you",
        ) from error


def encoding_of(path: Path, written: str | None = None) -> Encoding:
    """The encoding a text file is read with: as `written` in the spec, or as its bytes say.

    Raises:
        DataError: the file cannot be read.
    """
    if written is not None:
        return Encoding(written)
    status = path.stat()
    return _detected(path, status.st_mtime_ns, status.st_size)


@lru_cache(256)
def _detected(path: Path, changed: int, size: int) -> Encoding:
    with open_bytes(path) as file:
        head = file.read(_LOOKED_AT)
        if head.isascii() and b"\0" not in head:
            head = _first_other_than_ascii(file) or head
        return detect(head)


def _first_other_than_ascii(file: BinaryIO) -> bytes:
    """A stretch of lines around the first byte above 127; empty when there is none in reach."""
    before, searched = b"", 0
    while searched < _SEARCHED and (block := file.read(BLOCK)):
        if not block.isascii():
            return (before + block + file.read(BLOCK)).partition(b"\n")[2]
        before, searched = block, searched + len(block)
    return b""


def blocks(
    path: Path, encoding: str, longest: int, start: int = 0, end: int | None = None
) -> Iterator[list[str | None]]:
    """Yields the lines of a file in lists, without line ends; None stands for a line above `longest` bytes.

    Lines end with `\\n`, `\\r\\n` or a lone `\\r`. Bytes that do not decode are surrogate escapes (see `undecoded`).

    Args:
        start: byte of a file that is not compressed to begin at, the first of a line.
        end: byte to end at; the file's last when None.
    """
    if encoding.startswith(("utf-16", "utf-32")):
        yield from _wide_blocks(path, encoding, longest)
        return
    with open_bytes(path) as file:
        if start:
            file.seek(start)
        if encoding == "utf-8-sig" and start == 0:
            start += len(file.read(3))
        left = end - start if end is not None else None
        rest, over = b"", False  # over: what came before belongs to a line that is too long
        while block := file.read(BLOCK if left is None else min(BLOCK, left)):
            left = left - len(block) if left is not None else None
            rest += block
            cut = (rest.rfind(b"\n") + 1) or (rest.rfind(b"\r", 0, -1) + 1)
            if cut:
                yield _split(rest[:cut], encoding, longest, over)
                rest, over = rest[cut:], False
            elif len(rest) > longest:
                rest, over = rest[-1:], True
        if rest or over:
            yield _split(rest, encoding, longest, over)


def _split(block: bytes, encoding: str, longest: int, over: bool) -> list[str | None]:
    text = block.decode(encoding.removesuffix("-sig"), "surrogateescape")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    found: list[str | None] = list(text.removesuffix("\n").split("\n"))
    if len(block) >= longest:
        found = [line if line is not None and len(line) < longest else None for line in found]
    if over:
        found[0] = None
    return found


def _wide_blocks(path: Path, encoding: str, longest: int) -> Iterator[list[str | None]]:
    with open_text(path, encoding) as file:
        while line := file.readline(longest):
            whole = line.endswith("\n") or len(line) < longest
            while not whole:
                rest = file.readline(longest)
                whole = rest.endswith("\n") or len(rest) < longest
                line = ""
            yield [line.rstrip("\n") if line else None]


def lines(path: Path, encoding: str, longest: int) -> Iterator[tuple[int, str | None]]:
    """Yields `(number, line)` from 1 on, as `blocks` does."""
    number = 0
    for block in blocks(path, encoding, longest):
        for line in block:
            number += 1
            yield number, line


@contextmanager
def open_text(path: Path, encoding: str, newline: str | None = None) -> Iterator[io.TextIOWrapper]:
    """Opens a text file; `newline` as in `open`."""
    with open_bytes(path) as file:
        errors = "replace" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
        yield io.TextIOWrapper(file, encoding=encoding, errors=errors, newline=newline)
