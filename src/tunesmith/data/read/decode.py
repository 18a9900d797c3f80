"""Bytes to characters: decompression by magic bytes, and the encoding of a text file.

A text is UTF-8 unless a byte order mark, a pattern of zero bytes, or a file without a single valid
multi-byte sequence says otherwise. Bytes that are not of the encoding become surrogate escapes, which
readers report row by row.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from tunesmith.errors import DataError

COMPRESSIONS = (".gz", ".xz", ".bz2", ".zst")
"""Endings that say nothing about the format inside."""

_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\x00", "xz"), (b"BZh", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstd"))
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_LOOKED_AT = 2**20
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_ESCAPED = re.compile("[\udc80-\udcff]")
_BROKEN_STREAM = (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for reading, decompressed when its first bytes say gzip, xz, bzip2 or zstd.

    Raises:
        DataError: the file cannot be opened or read, or its compressed stream is cut short or damaged.
    """
    try:
        with path.open("rb") as raw:
            head = raw.read(8)
            raw.seek(0)
            kind = next((name for magic, name in _MAGIC if head.startswith(magic)), None)
            if kind == "zstd":
                import pyarrow

                yield cast(BinaryIO, io.BufferedReader(pyarrow.input_stream(raw, compression="zstd")))
            elif kind is not None:
                opened: dict[str, Callable[[BinaryIO], object]] = {
                    "gzip": gzip.open,
                    "xz": lzma.open,
                    "bzip2": bz2.open,
                }
                yield cast(BinaryIO, opened[kind](raw))
            else:
                yield raw
    except _BROKEN_STREAM as error:
        raise DataError(
            f"the compressed file is damaged or cut short: {error}",
            where=str(path),
            fix="fetch or compress it again; `gzip -t` or `xz -t` tests it",
        ) from error
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror or error}",
            where=str(path),
            fix="check that the file exists, is whole, and may be read by you",
        ) from error


def encoding_of(path: Path) -> str:
    """The encoding a text file is read with: `utf-8`, `utf-8-sig`, `utf-16`, `utf-32` (and le, be) or `cp1252`."""
    with open_bytes(path) as file:
        head = file.read(_LOOKED_AT)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    zeros = (head[0::2].count(0), head[1::2].count(0))
    if len(head) >= 4 and max(zeros) > 0.4 * len(head) / 2 and min(zeros) < 0.1 * max(zeros):
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    return "utf-8" if _is_utf8(head) else "cp1252"


def _is_utf8(head: bytes) -> bool:
    # A file with a few broken lines is UTF-8 with broken lines. One whose bytes above 127 never form a
    # valid sequence was written in one byte a character.
    high = len(re.findall(rb"[\x80-\xff]", head))
    return high == 0 or len(_MULTIBYTE.findall(head)) > 0


def lines(path: Path, encoding: str, longest: int) -> Iterator[tuple[int, str | None]]:
    """Yields `(number, line)` from 1 on without line ends; None stands for a line above `longest` bytes.

    Lines end with `\\n`, `\\r\\n` or a lone `\\r`. Bytes that do not decode are surrogate escapes (see `undecoded`).
    """
    with open_text(path, encoding) as file:
        number = 0
        while line := file.readline(longest):
            number += 1
            whole = line.endswith("\n") or len(line) < longest
            while not whole:
                rest = file.readline(longest)
                whole = rest.endswith("\n") or len(rest) < longest
                line = ""
            yield number, line.rstrip("\n") if line else None


@contextmanager
def open_text(path: Path, encoding: str, newline: str | None = None) -> Iterator[io.TextIOWrapper]:
    """Opens a text file; `newline` as in `open`."""
    with open_bytes(path) as file:
        errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
        yield io.TextIOWrapper(file, encoding=encoding, errors=errors, newline=newline)


def undecoded(text: str) -> bool:
    """Whether some bytes of `text` were not of its encoding."""
    return not text.isascii() and _ESCAPED.search(text) is not None
