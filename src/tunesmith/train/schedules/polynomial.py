"""A power of the way that is left, from the peak to the floor."""

from __future__ import annotations

from pydantic import Field

from tunesmith.train.schedules import Floor, Schedule


class Polynomial(Schedule):
    """Falls as a power of the way that is left: fast at first where the power is above 1."""

    power: float = Field(default=2.0, gt=0)
    """1 is a straight line; 2 a parabola that lands softly; below 1 it stays high and drops at the end."""
    floor: float = Floor
    """Where it ends, as a share of the peak."""

    def curve(self, progress: float) -> float:
        return self.floor + (1 - self.floor) * float((1 - progress) ** self.power)
