"""What preparing data has come to, kept by content: the same rows through the same steps are not computed again."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tunesmith.data.disk.temporary import TemporaryFolder

MOST_BYTES = 20 * 2**30
"""More than this is not kept: what was used longest ago goes first."""
_PARTIAL = ".part"


class Cache:
    """Folders by key. A folder is filled under another name, which stays where the work is broken off, and is renamed
    when it is whole. Nothing is kept for several processes at once: whoever comes second works in a folder of its own.

    Args:
        root: where they are kept; None for a temporary folder that goes with this object.
    """

    def __init__(self, root: Path | None) -> None:
        self._stack = ExitStack()
        self._temporary: TemporaryFolder | None = None
        if root is not None:
            root.mkdir(parents=True, exist_ok=True)
            handle = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            self._stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                root = None
        if root is None:
            self._temporary = TemporaryFolder()
            root = self._temporary.path
        self.root = root
        self.kept = self._temporary is None
        """Whether what is put here is found again later."""

    def close(self) -> None:
        """Lets others use the folder; what was filled can still be read."""
        if self.kept:
            self._trim()
        self._stack.close()

    @property
    def holder(self) -> object:
        """Keeps a temporary folder alive: to be held by whoever reads what lies in it."""
        return self._temporary

    def find(self, key: str) -> Path | None:
        """The folder filled under a key; None where there is none."""
        folder = self.root / key
        if not folder.is_dir():
            return None
        os.utime(folder)
        return folder

    @contextmanager
    def filling(self, key: str) -> Iterator[Path]:
        """A folder to fill, with what an earlier attempt has left in it; whole when the block ends well."""
        partial = self.root / (key + _PARTIAL)
        partial.mkdir(exist_ok=True)
        yield partial
        for file in partial.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        partial.rename(self.root / key)

    def _trim(self) -> None:
        folders = sorted((entry for entry in self.root.iterdir() if entry.is_dir()), key=lambda e: -e.stat().st_mtime)
        total = 0
        for number, folder in enumerate(folders):
            total += sum(file.stat().st_size for file in folder.iterdir())
            # What this process has just used may still be read: only what is older than an hour goes.
            if number and total > MOST_BYTES and time.time() - folder.stat().st_mtime > 3600:
                shutil.rmtree(folder, ignore_errors=True)
