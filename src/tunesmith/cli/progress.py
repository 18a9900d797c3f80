"""How a run's events look to a person: a live bar at a terminal, plain lines in a log file."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

LOG_EVERY = 10.0
"""Seconds between two progress lines where there is no terminal."""


class Voice:
    """A listener for `flow`: writes to stderr, so that stdout holds results alone.

    Args:
        console: where to write.
        quiet: only warnings.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal or quiet,
        )
        self._task: TaskID | None = None
        self._what = ""
        self._began = 0.0
        self._logged = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "warning":
            self._say(f"[yellow]warning[/] {_plain(event['text'])}", always=True)
        elif kind == "diagnosis":
            self._say(f"[yellow]![/] {_plain(event['text'])}", always=True)
        elif kind == "note":
            self._say(f"[dim]·[/] {_plain(event['text'])}")
        elif kind == "stage" and event["status"] != "start":
            took = f" in {clock(event['seconds'])}" if "seconds" in event else ""
            said = {"done": "done", "skipped": "already done", "borrowed": f"taken from {event.get('run')}"}
            self._say(f"[green]✓[/] {event['stage']}: {said[event['status']]}{took}")
            self._forget()
        elif kind == "progress":
            figures = f"{_plain(event['said'])}  {_left(event)}" if "said" in event else ""
            figures = figures or rate(event, self._since(event["what"]))
            self._advance(event["what"], event["done"], event["total"], figures)
        elif kind == "step":
            # Floats that are not finite stand as text in a diary.
            loss, speed = float(event.get("loss", "nan")), float(event.get("tokens_per_second", "nan"))
            figures = f"loss {loss:.4f}  {speed:,.0f} tok/s  {_left(event)}"
            self._advance(f"{event['stage']} step {event['step']}", event["step"], event.get("total_steps"), figures)
        elif kind == "validation":
            figures = "  ".join(f"{_plain(name)} {float(value):.4g}" for name, value in event["figures"].items())
            best = "  [green]best so far[/]" if event.get("best") else ""
            self._say(f"  step {event['step']:>5}  validation {figures}{best}")

    def _say(self, line: str, *, always: bool = False) -> None:
        if always or not self._quiet:
            self._console.print(line, highlight=False, soft_wrap=True)

    def _since(self, what: str) -> float:
        if what != self._what:
            self._what, self._began = what, time.monotonic()
        return time.monotonic() - self._began

    def _advance(self, what: str, done: int, total: int | None, figures: str) -> None:
        if self._quiet:
            return
        if self._console.is_terminal:
            if self._task is None:
                self._task = self._bar.add_task(what, total=total, figures=figures)
            self._bar.update(self._task, description=what, completed=done, total=total, figures=figures)
        elif time.monotonic() - self._logged >= LOG_EVERY:
            self._logged = time.monotonic()
            self._say(f"  {what}: {done:,}{f' of {total:,}' if total else ''}  {figures}")

    def _forget(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._what = ""


def rate(event: dict[str, Any], seconds: float) -> str:
    """`1,200/s  0:04 left` for a progress event that began `seconds` ago."""
    done, total = event["done"], event["total"]
    if not done or seconds < 0.5:
        return ""
    speed = done / seconds
    left = f"  {clock((total - done) / speed)} left" if total else ""
    return f"{speed:,.0f}/s{left}" if speed >= 10 else f"{speed:.1f}/s{left}"


def clock(seconds: float) -> str:
    """`0:04`, `12:30` or `3:01:00`; tenths of a second below ten."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _left(event: dict[str, Any]) -> str:
    left = event.get("seconds_left")
    return f"{clock(left)} left" if left is not None else ""


def _plain(text: str) -> str:
    """Square brackets in users' data are not markup."""
    return text.replace("[", "\\[")
