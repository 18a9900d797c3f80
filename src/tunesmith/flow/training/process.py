"""One of several processes that train a stage together: `python -m tunesmith.flow.training.process STAGE PLACE`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tunesmith.errors import Error
from tunesmith.flow.environment import use_threads
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import request_of
from tunesmith.flow.run import load_job
from tunesmith.flow.training import train_here
from tunesmith.runs import Run
from tunesmith.scale.parent import Parent


class Voice(Narrator):
    """Says to the parent what the first process would say alone; the other processes keep silent.

    Args:
        parent: the process that writes the run's diary.
        silent: whether nothing is said.
    """

    def __init__(self, parent: Parent, *, silent: bool) -> None:
        super().__init__()
        self._parent, self._silent = parent, silent

    def say(self, kind: str, **values: Any) -> None:
        if not self._silent:
            self._parent.tell({"kind": kind, **values})

    def progressing(self, what: str, done: int, total: int | None = None, **more: Any) -> None:
        if not self._silent:
            self._parent.mention({"kind": "progress", "what": what, "done": done, "total": total, **more})


def work(parent: Parent, stage: dict[str, Any], place: dict[str, Any]) -> dict[str, Any]:
    """Trains as process `place` of a stage; returns what it came to."""
    from tunesmith.train.weights.ranks import joined

    use_threads()
    run, workspace = Run(Path(stage["run"])), Path(stage["workspace"])
    with joined(place["rank"], place["count"], Path(place["meeting"]), place["patience"]) as ranks:
        request = request_of(run, Path(stage["spec"]), workspace)
        voice = Voice(parent, silent=not ranks.first)
        job = load_job(run, request)
        return train_here(
            run, request, job, stage["number"], stage["start"], voice, parent.stopping, ranks, stage["shard"]
        )


def main() -> None:
    """What the process does. What is no error of ours ends it with a traceback, whose last line the parent tells."""
    parent = Parent.of_this_process()
    stage, place = map(json.loads, sys.argv[1:])
    try:
        parent.finish(work(parent, stage, place))
    except Error as error:
        parent.fail(error)
        # The others wait for this process in vain: it leaves without saying goodbye to them.
        os._exit(1)


if __name__ == "__main__":
    main()
