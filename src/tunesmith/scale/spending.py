"""What a run has spent, told from its diary: time on the clock, and money where an hour has a price.

Whoever works on a run begins a sitting with an event of that kind, which says since when (`began`) and what an hour
costs (`usd_an_hour`). It lasts until it tells what it took of the machine (`resource`) or, where it was killed, until
its last event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spent:
    """What was spent."""

    seconds: float = 0.0
    usd: float | None = None
    """None where no hour had a price."""

    def and_also(self, seconds: float, usd_an_hour: float | None) -> Spent:
        """With so much time more, at a price."""
        more = None if usd_an_hour is None else seconds / 3600 * usd_an_hour
        both = self.usd if more is None else (self.usd or 0.0) + more
        return Spent(self.seconds + seconds, both)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"seconds": round(self.seconds, 1), "usd": None if self.usd is None else round(self.usd, 4)}


def spent(events: Iterable[Mapping[str, Any]]) -> Spent:
    """What a run's sittings took, from its events in the order written."""
    whole, sitting, last = Spent(), None, 0.0
    for event in events:
        kind, at = event.get("kind"), float(event.get("at") or last)
        if kind == "sitting":
            whole, sitting = _ended(whole, sitting, last), event
        elif kind == "resource":
            whole, sitting = _ended(whole, sitting, at), None
        last = at
    return _ended(whole, sitting, last)


def _ended(whole: Spent, sitting: Mapping[str, Any] | None, at: float) -> Spent:
    if sitting is None:
        return whole
    return whole.and_also(max(0.0, at - float(sitting["began"])), sitting.get("usd_an_hour"))
