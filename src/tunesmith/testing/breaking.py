"""Steps that are broken off, and go on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tunesmith.data.disk.spool import Records, Spool
from tunesmith.data.disk.tables import spooled
from tunesmith.data.passes.curate import write
from tunesmith.data.passes.stage import Stage
from tunesmith.data.room import Room
from tunesmith.data.steps import Step
from tunesmith.records import Record

MANY = 10**6
"""More than any step reads of a handful of records."""


class _Breaking(Spool):
    """A file of records that is read so many times, and then somebody presses Ctrl-C."""

    def __init__(self, path: Path, holder: object, reads: int) -> None:
        super().__init__(path, holder)
        self.left = reads

    def read(self, offset: int) -> Any:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().read(offset)


def break_off(step: Step, records: Sequence[Record], room: Callable[[], Room]) -> None:
    """Breaks a step off at its first row, half way and at its last one, and holds what the same step then leaves
    against what it leaves when nothing happens.

    Args:
        records: a handful.
        room: makes what the step works with.
    """
    given = spooled(records)
    (file,) = given.spools

    def written(folder: Path, reads: int = MANY) -> tuple[list[Any], int]:
        folder.mkdir(exist_ok=True)
        spool = _Breaking(file.path, file, reads)
        write(step, Records((spool,), given.addresses, given.rows), room(), folder, len(records) + 1)
        stage = Stage(folder, given.spools)
        left = [list(stage.kept), list(stage.dropped()), list(stage.changed()), stage.books, stage.findings]
        return left, reads - spool.left

    with tempfile.TemporaryDirectory() as name:
        whole, reads = written(Path(name) / "whole")
        for at in sorted({0, reads // 2, reads - 1}):
            folder = Path(name) / str(at)
            try:
                written(folder, at)
            except KeyboardInterrupt:
                assert not (folder / "stage.json").exists(), "what was broken off passes for done"
                assert written(folder)[0] == whole, f"broken off after {at} rows it leaves something else"
            else:
                raise AssertionError(f"it was not broken off after {at} rows")
