"""A straight line from the peak to the floor."""

from __future__ import annotations

from tunesmith.train.schedules import Floor, Schedule


class Linear(Schedule):
    """Falls in a straight line."""

    floor: float = Floor
    """Where it ends, as a share of the peak."""

    def curve(self, progress: float) -> float:
        return 1 - (1 - self.floor) * progress
