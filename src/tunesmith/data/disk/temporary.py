"""Folders and files that go when nobody holds them any more."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path


class TemporaryFolder:
    """A folder that goes with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="tunesmith-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class NamelessFile:
    """A file without a name, which goes with this object."""

    def __init__(self) -> None:
        self.handle, name = tempfile.mkstemp(prefix="tunesmith-")
        Path(name).unlink()
        weakref.finalize(self, os.close, self.handle)
