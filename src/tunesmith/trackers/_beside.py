"""Trackers that follow a run: each in a process of its own, so that none slows the training or ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from tunesmith.part import Part
from tunesmith.runs import Run

CLOSING = 60.0
"""Seconds a tracker has to send the rest when the run has ended."""
FOLLOW = [sys.executable, "-m", "tunesmith.trackers._follow"]


class Teller(Protocol):
    """Who tells of a run: `flow`'s narrator."""

    def say(self, kind: str, **values: Any) -> None:
        """Tells an event."""

    def meanwhile(self, look: Callable[[], None] | None) -> None:
        """Has `look` called with each event."""


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
        return self._said(f"does not follow any more ({lines[-1][:300]})")

    def _said(self, what: str) -> str:
        return f"the tracker {self.kind} {what}; later: tunesmith send {self.run} --to {self.kind}"


@contextmanager
def tracked(run: Run, trackers: Sequence[Part], teller: Teller) -> Iterator[None]:
    """Lets trackers follow a run for as long as the block lasts. One that breaks is one warning.

    Args:
        run: the run folder.
        trackers: where it is sent.
        teller: told of a tracker that breaks.
    """
    following = [Follower(run, tracker) for tracker in trackers]

    def look() -> None:
        for follower in list(following):
            if (trouble := follower.trouble()) is not None:
                following.remove(follower)
                teller.say("warning", text=trouble)

    teller.meanwhile(look)
    try:
        yield
    finally:
        teller.meanwhile(None)
        for follower in following:
            if (trouble := follower.close()) is not None:
                teller.say("warning", text=trouble)
