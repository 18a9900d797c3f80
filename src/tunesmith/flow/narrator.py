"""What a run says while it works: into its diary, and to whoever listens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tunesmith.events import Events

Listener = Callable[[dict[str, Any]], None]
"""Gets every event as it happens. For it alone: `progress` (`what`, `done`, `total`), and `run` (`path`), told once
when the run has its folder, whose diary holds what was said so far."""


def silent(event: dict[str, Any]) -> None:
    """A listener that does not care."""


class Narrator:
    """Sends events to a listener and, once the run has a folder, to its `events.jsonl`.

    Args:
        listen: what a person sees; called with each event.
    """

    def __init__(self, listen: Listener = silent) -> None:
        self._listen = listen
        self._events: Events | None = None
        self._waiting: list[tuple[str, dict[str, Any]]] = []
        self._look: Callable[[], None] | None = None

    def write_to(self, events: Events) -> None:
        """From now on events are kept; those said before go first."""
        self._events = events
        for kind, values in self._waiting:
            events.send(kind, **values)
        self._waiting.clear()
        self._tell({"kind": "run", "path": str(events.path.parent)})

    def say(self, kind: str, **values: Any) -> None:
        """Tells the listener and writes the diary."""
        if self._events is None:
            self._waiting.append((kind, values))
        else:
            self._events.send(kind, **values)
        self._tell({"kind": kind, **values})

    def meanwhile(self, look: Callable[[], None] | None) -> None:
        """From now on `look` is called with each event, and may say something itself; None: no more."""
        self._look = look

    def _tell(self, event: dict[str, Any]) -> None:
        self._listen(event)
        if self._look is not None:
            self._look()

    def progressing(self, what: str, done: int, total: int | None = None, **more: Any) -> None:
        """Tells the listener how far `what` has come, and `seconds_left` and what is `said` of it, where that is known
        better than by its rate; nothing is kept."""
        self._tell({"kind": "progress", "what": what, "done": done, "total": total, **more})

    def progress(self, what: str) -> Callable[[int, int | None], None]:
        """`progressing` for one thing."""

        def progress(done: int, total: int | None = None) -> None:
            self.progressing(what, done, total)

        return progress

    def within(self, title: str) -> Narrator:
        """One for a run inside of this one: with a diary of its own, and the same listener, told where it is."""

        def listen(event: dict[str, Any]) -> None:
            if event["kind"] == "run":
                return
            named = ((key, event[key]) for key in ("stage", "what", "text") if key in event)
            self._tell(event | {key: f"{title}: {value}" for key, value in named})

        return Narrator(listen)

    @contextmanager
    def stage(self, name: str, **values: Any) -> Iterator[None]:
        """Says that a stage starts, and how long it took when it ends well."""
        self.say("stage", stage=name, status="start", **values)
        started = time.monotonic()
        yield
        self.say("stage", stage=name, status="done", seconds=round(time.monotonic() - started, 3), **values)
