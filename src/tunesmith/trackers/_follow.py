"""A process of its own that sends a run while it goes: `python -m tunesmith.trackers._follow RUN SETTINGS`.

It ends when its standard input does, that is with the process that trains, whatever ended that. Whatever
a tracker does in here, import for seconds, wait for a network or crash, the training does not feel it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import cast

from tunesmith.part import TRACKERS
from tunesmith.runs import Run
from tunesmith.trackers import Told, Tracker

EVERY = 2.0
"""Seconds between two looks at the diary."""


def follow(run: Run, tracker: Tracker, ended: Callable[[], bool]) -> None:
    """Sends what a run tells until it has ended.

    Args:
        run: the run folder.
        tracker: where it is sent.
        ended: waits a little and says whether the run has ended.
    """
    told = Told(run)
    sink = tracker.open(run, tracker.place(run))
    try:
        sink.facts(told.facts())
        last = False
        while not last:
            last = ended()  # asked before the diary is read, so that the last word is not missed
            if rows := told.rows():
                sink.points(rows)
        sink.facts(told.facts())
    finally:
        sink.close()


def _ended() -> bool:
    return bool(select.select([sys.stdin], [], [], EVERY)[0])


def main() -> None:
    """What the process does; its last line on stderr says why it failed."""
    os.nice(5)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which ends in order
    warnings.simplefilter("ignore")
    # What foreign packages write there goes nowhere: nobody empties the pipe before the end.
    reason = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    path, settings = sys.argv[1:]
    tracker = cast(Tracker, TRACKERS.make(json.loads(settings)))
    try:
        follow(Run(Path(path)), tracker, _ended)
    except Exception as error:  # whatever a foreign package does: one line, read by the process that trains
        reason.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        reason.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
