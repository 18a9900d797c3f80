"""Watching a run at a terminal: `run --live` from within, `show RUN --follow` from any other process."""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from tunesmith.cli.dashboard import Dashboard
from tunesmith.cli.progress import Voice
from tunesmith.cli.scene import Scene, scene_of
from tunesmith.events import Tail
from tunesmith.report.evidence import NEEDED
from tunesmith.runs import Run, read_json

PER_SECOND = 1
"""How often the screen is drawn; each time takes some 30 ms of a processor."""
QUIET = 30.0
"""A diary not written for so many seconds, by no process that can be seen, will not be written any more."""


class Screen:
    """A listener that shows a run as a dashboard; outside of a terminal it says so once and writes plain lines.

    Args:
        console: where to write.
        scene: the run as it is known so far.
        footer: what stands in the last line.
    """

    def __init__(self, console: Console, scene: Scene, *, footer: str = "") -> None:
        self.scene, self._console, self._footer = scene, console, footer
        self._stack = ExitStack()
        self._lines = None if console.is_terminal else Voice(console)

    def __enter__(self) -> Self:
        if self._lines is not None:
            self._console.print("[dim]·[/] not a terminal: progress as plain lines", highlight=False)
            self._stack.enter_context(self._lines)
        else:
            live = Live(console=self._console, screen=True, get_renderable=self._drawn, refresh_per_second=PER_SECOND)
            self._stack.enter_context(live).refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if self._lines is None:
            # The screen is gone, and what was said on it; a warning stays.
            voice = Voice(self._console)
            for event in self.scene.warnings:
                voice(event)

    def _drawn(self) -> Dashboard:
        return Dashboard(self.scene, footer=self._footer)

    def __call__(self, event: dict[str, Any]) -> None:
        self.scene.take(event)
        if self._lines is not None:
            self._lines(event)


def follow(run: Run, console: Console, *, every: float = 0.5) -> bool:
    """Shows a run of any process until it ends; Ctrl-C ends the watching and leaves the run alone.

    Args:
        run: the run folder.
        console: where to write.
        every: seconds between two looks at its diary.

    Returns:
        Whether the run has ended; False when the watching was ended.
    """
    diary = Tail(run / "events.jsonl")
    scene = scene_of(str(run), read_json(run / "spec.json")["spec"])
    try:
        with Screen(console, scene, footer="Ctrl-C ends the watching, not the run") as screen:
            while True:
                over = ended(run)  # asked before the diary is read, so that the last word is not missed
                for event in diary.new():
                    if NEEDED.get(event["kind"], "kind") in event:
                        screen(event)
                if over:
                    return True
                time.sleep(every)
    except KeyboardInterrupt:
        return False


def ended(run: Run) -> bool:
    """Whether nobody works on a run any more."""
    if run.complete:
        return True
    if run.worker() is not None:
        return False
    # Its process may be on another machine, or at the manifest, which it writes when it has let go of the run.
    lock, diary = run / ".lock", run / "events.jsonl"
    held = lock.exists() and lock.stat().st_size > 0
    still = time.time() - diary.stat().st_mtime if diary.exists() else QUIET + 1
    return still > (QUIET if held or (run / "report.html").exists() else 1.0)
