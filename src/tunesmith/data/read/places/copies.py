"""Local copies of what is no plain file: written under names of our own, and deleted when the process ends.

Whatever is fetched, unpacked or queried is copied once; its digest is that of the copy, and the copy is what is read.
"""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from tunesmith.data.read.places.limits import refuse_full_disk

_SAFE = re.compile(r"[^A-Za-z0-9._-]+")
_CHECKED_EVERY = 2**26

Copies = list[tuple[str, Path | None]]
"""Name at the place -> copy; None for what was left out."""

_kept: dict[tuple[object, ...], Copies] = {}


def kept(key: tuple[object, ...], fresh: bool, make: Callable[[], Iterable[tuple[str, Path | None]]]) -> Copies:
    """The copies of one place, by name; `make` makes them.

    Args:
        key: what the place is known by; a change of it makes another place.
        fresh: make them again though this process has them.
    """
    if fresh or key not in _kept:
        for _, path in _kept.pop(key, []):
            if path is not None:
                path.unlink(missing_ok=True)
        _kept[key] = list(make())
    return _kept[key]


def write_copy(name: str, blocks: Iterable[bytes], where: str) -> Path:
    """Writes a copy called like `name`, in a private folder of its own.

    Args:
        name: of its last part the letters, digits, dots and dashes are kept, so that no name leads anywhere.
        where: what the error names.

    Raises:
        DataError: the disk has no room for it.
    """
    safe = _SAFE.sub("_", name.replace("\\", "/").rpartition("/")[2])[-100:].lstrip(".-") or "rows"
    folder = Path(_folder(os.getpid()), str(next(_NUMBERS)))
    folder.mkdir()
    path = folder / safe
    written, checked = 0, 0
    with path.open("wb") as file:
        for block in blocks:
            if written >= checked:
                refuse_full_disk(_CHECKED_EVERY, where)
                checked = written + _CHECKED_EVERY
            file.write(block)
            written += len(block)
    return path


_NUMBERS = itertools.count()
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
"""Held, so that they live as long as the process."""


@lru_cache
def _folder(process: int) -> str:
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="tunesmith-data-"))
    return _FOLDERS[-1].name
