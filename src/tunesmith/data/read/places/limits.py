"""How much a compressed file may hold: far more than any data, far less than a bomb."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable
from typing import BinaryIO

from tunesmith.errors import DataError

FREE_BYTES = 2**28
"""So much may come out of however little."""
RATIO = 250
"""Above that, at most so many bytes come out of one: text is compressed 3 to 20 times, a bomb 1,000 times."""
KEPT_FREE = 2**30
"""Bytes of the disk that copies leave free."""
_BOMB_FIX = "leave it out; if it truly is data, decompress it yourself and name the file"


def refuse_bomb(out: int, taken: int, where: str) -> None:
    """Refuses a stream of which `out` bytes came from `taken` compressed ones.

    Raises:
        DataError: that is more than data is ever compressed.
    """
    if out > FREE_BYTES and out > RATIO * max(1, taken):
        raise DataError(
            f"is a decompression bomb: more than {out // 2**20:,} MiB come out of {taken:,} bytes",
            where=where,
            fix=_BOMB_FIX,
        )


def refuse_full_disk(needed: int, where: str) -> None:
    """Refuses to copy `needed` bytes where the folder of temporary files has no room for them.

    Raises:
        DataError: there is not enough room.
    """
    free = shutil.disk_usage(tempfile.gettempdir()).free - KEPT_FREE
    if needed > free:
        raise DataError(
            f"needs more room than the {max(0, free) // 2**20:,} MiB that {tempfile.gettempdir()} has left",
            where=where,
            fix="make room there, or name a larger folder in the environment variable TMPDIR",
        )


class Watched(io.RawIOBase):
    """A decompressed stream that refuses to become a bomb.

    Args:
        file: the decompressed stream.
        taken: says how many compressed bytes were taken so far.
        where: what the refusal names.
    """

    def __init__(self, file: BinaryIO, taken: Callable[[], int], where: str) -> None:
        self._file = file
        self._taken = taken
        self._where = where
        self._out = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._file.read(len(view))
        view[: len(data)] = data
        self._out += len(data)
        refuse_bomb(self._out, self._taken(), self._where)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
