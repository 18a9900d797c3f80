"""Arrays in files without names: as many rows as the disk holds, and in memory only what is being read."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.similar.words import I64


class Stored:
    """[N, width] values, appended in order and then read; [N] where `width` is None. Gone when it is closed."""

    def __init__(self, dtype: npt.DTypeLike, width: int | None = None) -> None:
        self._dtype = np.dtype(dtype)
        self._row = () if width is None else (width,)
        self._bytes = self._dtype.itemsize * (width or 1)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._view: mmap.mmap | None = None
        self.count = 0

    def append(self, values: npt.NDArray[Any]) -> None:
        """Puts rows at the end."""
        self._file.write(np.ascontiguousarray(values, self._dtype).tobytes())
        self.count += len(values)

    def put(self, values: npt.NDArray[Any], at: int) -> None:
        """Puts rows at a place, before or behind others."""
        os.pwrite(self._file.fileno(), np.ascontiguousarray(values, self._dtype).tobytes(), at * self._bytes)

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Rows `start` to `stop`."""
        self._file.flush()
        length, offset, parts = (stop - start) * self._bytes, start * self._bytes, []
        while length > 0 and (part := os.pread(self._file.fileno(), length, offset)):  # 2 GB at most at a time
            parts.append(part)
            length, offset = length - len(part), offset + len(part)
        return np.frombuffer(b"".join(parts), self._dtype).reshape(-1, *self._row)

    def take(self, rows: I64) -> npt.NDArray[Any]:
        """Rows by their numbers. Nothing is appended afterwards."""
        if not len(rows):
            return np.zeros((0, *self._row), self._dtype)
        if self._view is None:
            self._file.flush()
            self._view = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        found = np.frombuffer(self._view, self._dtype).reshape(-1, *self._row)[rows]
        # What was read stays in the system's cache, and no longer counts as memory of this process.
        self._view.madvise(mmap.MADV_DONTNEED)
        return found

    def close(self) -> None:
        """Ends it, and frees its disk space."""
        if self._view is not None:
            self._view.close()
        self._file.close()
