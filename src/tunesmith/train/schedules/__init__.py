"""Schedules: how the learning rate changes over a training.

A schedule is a pure function of the step: nothing has to be saved to resume it. The rate rises to its
peak over the warm-up, follows the schedule's curve, and falls to nothing over the cool-down, where one is
asked for; all three are counted in optimizer steps.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal, Self

from pydantic import Field, model_validator

from tunesmith.part import Part
from tunesmith.spec.quantity import Stretch

Floor = Field(default=0.0, ge=0, le=1)


class Schedule(Part):
    """How the learning rate changes. Parts give the curve between warm-up and cool-down."""

    warmup: Stretch = Stretch(5, "%")
    """How long the rate rises to its peak."""
    cooldown: Stretch = Stretch(0, "%")
    """How long the rate falls to nothing at the end, from where the curve has brought it."""
    cooldown_shape: Literal["linear", "sqrt"] = "linear"
    """How it falls: in a straight line, or as 1 - sqrt, fast at first (arXiv 2405.18392)."""

    @model_validator(mode="after")
    def _cooldown_has_something_to_do(self) -> Self:
        if self.cooldown.value and self.curve(1.0) < 1e-9:
            raise ValueError(f"{self.kind} ends at nothing by itself; give it a floor, or leave the cooldown out")
        return self

    def factor(self, step: int, total: int, warmup_steps: int, cooldown_steps: int = 0) -> float:
        """What the highest learning rate is multiplied by.

        Args:
            step: the optimizer step, from 0.
            total: how many steps there are.
            warmup_steps: how many of them are warm-up; step `warmup_steps` is the first at the peak.
            cooldown_steps: how many of them, at the end, are cool-down; where both do not fit, it gives way.
        """
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        end = max(total - cooldown_steps, warmup_steps)
        curve = self.curve(min(1.0, (step - warmup_steps) / max(1, end - warmup_steps)))
        if step < end or total <= end:
            return curve
        fallen = min(1.0, (step - end) / (total - end))
        return curve * (1 - (math.sqrt(fallen) if self.cooldown_shape == "sqrt" else fallen))

    @abstractmethod
    def curve(self, progress: float) -> float:
        """The factor at `progress`, 0 at the end of the warm-up and 1 after the last step before the cool-down."""
