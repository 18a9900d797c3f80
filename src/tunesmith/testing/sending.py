"""What trackers hold to."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.errors import MissingDependency
from tunesmith.events import Events
from tunesmith.runs import Run, write_json
from tunesmith.trackers import Tracker, send


def takes_any_run(tracker: Tracker) -> None:
    """Any run can be sent, and sent again: without a step, while it goes, resumed, with figures that are not finite."""
    try:
        tracker.check()
    except MissingDependency as error:
        assert error.package == tracker.needs and error.extra, "the fix names the extra that brings the package"
        return
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "runs" / "contract" / "1")
        here = tracker.model_copy(update={"folder": str(Path(folder) / "sent")})
        write_json(run / "spec.json", {"request": "0", "spec": {"name": "contract", "train": [{"seed": 0}]}})
        assert send(run, here)[1] == 0
        with Events(run / "events.jsonl") as events:
            for step, loss in ((1, 2.0), (2, 1.5), (2, 1.5), (3, float("nan"))):
                events.send("step", stage="train-1", step=step, loss=loss, lr=1e-3, metrics={"a (b=c)": 1.0})
            events.send("validation", stage="train-1", step=3, figures={"loss": 1.25}, best=True)
        for _ in range(2):
            where, rows = send(run, here)
            assert where and rows == 4


def writes_where_it_is_told(tracker: Tracker) -> None:
    """Its files lie in the workspace unless the spec says otherwise."""
    run = Run(Path("/somewhere/runs/contract/1"))
    assert tracker.model_copy(update={"folder": None}).place(run) == Path("/somewhere/tracked")
    assert tracker.model_copy(update={"folder": "curves"}).place(run) == Path("/somewhere/curves")
    assert json.loads(json.dumps(tracker.settings()))["folder"] == tracker.folder


CHECKS: dict[str, tuple[Callable[[Any], None], ...]] = {"trackers": (takes_any_run, writes_where_it_is_told)}
