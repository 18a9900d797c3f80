"""The peak, all the way."""

from __future__ import annotations

from tunesmith.train.schedules import Schedule


class Constant(Schedule):
    """Stays at its peak after the warm-up."""

    def curve(self, progress: float) -> float:
        return 1.0
