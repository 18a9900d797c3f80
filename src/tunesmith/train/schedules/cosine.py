"""Half a cosine from the peak to the floor (arXiv 1608.03983, without restarts)."""

from __future__ import annotations

import math

from tunesmith.train.schedules import Floor, Schedule


class Cosine(Schedule):
    """Falls along half a cosine: slowly, then fast, then slowly."""

    floor: float = Floor
    """Where it ends, as a share of the peak."""

    def curve(self, progress: float) -> float:
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * progress)) / 2
