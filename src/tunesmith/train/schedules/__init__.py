"""Schedules: how the learning rate changes over a training.

A schedule is a pure function of the step: nothing has to be saved to resume it. The rate rises to its
peak over the warm-up, which is counted in optimizer steps, and then follows the schedule's curve.
"""

from __future__ import annotations

from abc import abstractmethod

from pydantic import Field

from tunesmith.part import Part
from tunesmith.spec.quantity import Stretch

Floor = Field(default=0.0, ge=0, le=1)


class Schedule(Part):
    """How the learning rate changes. Parts give the curve after the warm-up."""

    warmup: Stretch = Stretch(5, "%")
    """How long the rate rises to its peak."""

    def factor(self, step: int, total: int, warmup_steps: int) -> float:
        """What the highest learning rate is multiplied by.

        Args:
            step: the optimizer step, from 0.
            total: how many steps there are.
            warmup_steps: how many of them are warm-up; step `warmup_steps` is the first at the peak.
        """
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        return self.curve(min(1.0, (step - warmup_steps) / max(1, total - warmup_steps)))

    @abstractmethod
    def curve(self, progress: float) -> float:
        """The factor at `progress`, 0 at the end of the warm-up and 1 after the last step."""
