"""Cosine decay with warm restarts (SGDR, arXiv 1608.03983)."""

from __future__ import annotations

import math

from pydantic import Field

from tunesmith.train.schedules import Floor, Schedule


class Restarts(Schedule):
    """Falls along half a cosine, jumps back up and falls again."""

    cycles: int = Field(default=3, ge=1)
    """How often it falls; all cycles are equally long."""
    decay: float = Field(default=1.0, gt=0, le=1)
    """Each cycle's peak, as a share of the one before."""
    floor: float = Floor
    """Where each cycle ends, as a share of its peak."""

    def curve(self, progress: float) -> float:
        cycle = min(int(progress * self.cycles), self.cycles - 1)
        inside = progress * self.cycles - cycle
        return self.decay**cycle * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * inside)) / 2)
