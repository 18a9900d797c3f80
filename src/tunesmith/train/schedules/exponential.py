"""Exponential decay."""

from __future__ import annotations

from pydantic import Field

from tunesmith.train.schedules import Schedule


class Exponential(Schedule):
    """Falls by the same share in every step."""

    decay: float = Field(default=0.1, gt=0, le=1)
    """What is left of the peak at the end."""

    def curve(self, progress: float) -> float:
        return float(self.decay**progress)
