"""Trackers that follow a run: each in a process of its own, so that none slows the training or ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from tunesmith.errors import Error, RunError, UserError, did_you_mean
from tunesmith.flow.narrator import Narrator
from tunesmith.part import TRACKERS, Part
from tunesmith.report.format import excerpt
from tunesmith.runs import Run, find_run, read_json
from tunesmith.spec.overrides import OverrideError, override
from tunesmith.trackers import Tracker, send

CLOSING = 60.0
"""Seconds a tracker has to send the rest when the run has ended."""
FOLLOW = [sys.executable, "-m", "tunesmith.trackers._follow"]


class Follower:
    """The process of one tracker."""

    def __init__(self, run: Run, tracker: Part) -> None:
        self.kind = tracker.kind
        self.run = run
        self._process = subprocess.Popen(
            [*FOLLOW, str(run.path.resolve()), json.dumps(tracker.settings())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def trouble(self) -> str | None:
        """Why it has ended before its time; None while it goes."""
        return None if self._process.poll() is None else self.close()

    def close(self) -> str | None:
        """Lets it send the rest; returns what went wrong."""
        try:
            _, said = self._process.communicate(timeout=CLOSING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return self._said(f"was not done {CLOSING:.0f} seconds after the run's end")
        if self._process.returncode == 0:
            return None
        lines = said.decode("utf-8", "replace").strip().splitlines() or ["it was killed"]
        return self._said(f"does not follow any more ({excerpt(lines[-1], 300)})")

    def _said(self, what: str) -> str:
        return f"the tracker {self.kind} {what}; later: tunesmith send {self.run} --to {self.kind}"


def check_trackers(trackers: Sequence[Part]) -> None:
    """Refuses trackers that could not send anything, before a run is made for them.

    Raises:
        MissingDependency: the package of one is not installed.
    """
    for tracker in trackers:
        cast(Tracker, tracker).check()


def send_run(
    reference: str, kind: str, workspace: Path = Path(), *, settings: Sequence[str] = (), folder: Path | None = None
) -> dict[str, Any]:
    """Sends a run to a tracker after the fact, or again; what is there already is not put there twice.

    Args:
        reference: the run, `NAME` or `NAME/N`.
        kind: the tracker's name.
        workspace: the folder that holds `runs/`.
        settings: `name=value`, in place of what the run's spec says of this tracker.
        folder: where the tracker's files are put.

    Returns:
        JSON values: the run, the tracker, where it can be found, and how many rows of figures are there.

    Raises:
        NotFound: no such run or tracker.
        UserError: a setting is wrong, the package is missing, or the tracker cannot be reached.
    """
    run = find_run(workspace / "runs", reference)
    written = read_json(run / "spec.json")["spec"].get("track") or []
    asked: dict[str, Any] = next((dict(one) for one in written if one["kind"] == kind), {"kind": kind})
    if folder is not None:
        asked["folder"] = str(folder.absolute())
    try:
        for setting in settings:
            override(asked, {}, setting)
        tracker = cast(Tracker, TRACKERS.make(asked))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        known = list(TRACKERS.load(kind).model_fields)
        raise UserError(
            f"{first['msg']}{did_you_mean(name, known)}",
            where=f"{kind}.{name}",
            fix=f"its settings: {', '.join(known)}",
        ) from error
    except OverrideError as error:
        raise UserError(str(error), where=kind, fix="write name=value, as folder=./curves") from error
    try:
        where, rows = send(run, tracker)
    except Error:
        raise
    except Exception as error:  # whatever a foreign package raises: a server that is away, a file that is none
        why = excerpt(" ".join(str(error).split()) or type(error).__name__, 300)
        raise RunError(
            f"could not be sent: {why}", where=f"tracker {kind}", fix="mend that and send it again"
        ) from error
    return {"run": str(run), "tracker": kind, "where": where, "rows": rows}


@contextmanager
def tracked(run: Run, trackers: Sequence[Part], narrator: Narrator) -> Iterator[None]:
    """Lets trackers follow a run for as long as the block lasts. One that breaks is one warning.

    Args:
        run: the run folder.
        trackers: where it is sent.
        narrator: told of a tracker that breaks.
    """
    following = [Follower(run, tracker) for tracker in trackers]

    def look() -> None:
        for follower in list(following):
            if (trouble := follower.trouble()) is not None:
                following.remove(follower)
                narrator.say("warning", text=trouble)

    narrator.meanwhile(look)
    try:
        yield
    finally:
        narrator.meanwhile(None)
        for follower in following:
            if (trouble := follower.close()) is not None:
                narrator.say("warning", text=trouble)
