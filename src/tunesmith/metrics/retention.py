"""Retention: how much of what the base could do the tuned model still can (`evaluate.retention`).

The sum over items of the tuned model's scores above chance, over the same sum of the base's. 1 is no change, 0 says
that nothing is left above guessing. What chance would score is taken from both: with four choices a model that lost
all it knew still has a quarter right, and would otherwise seem to keep half of what a base with half right could do.
Where the base is not above chance there is nothing to keep, and the value is nan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from tunesmith.metrics import Floats, Metric, Need, Rows, ratio
from tunesmith.records import Prediction

ABILITY = "ability"
"""The slice that names a row's ability."""


class Retention(Metric):
    """Share of the base's abilities that the tuned model keeps, above chance."""

    needs: ClassVar[frozenset[Need]] = frozenset({"measured"})
    rows: ClassVar[Rows] = "retention"
    highest: ClassVar[float] = 2.0
    ability: str | None = None
    """Which ability; all of them together when left out."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 3]: what the base and the tuned model score above chance, and 1; rows of other abilities add nothing.
        return np.array([self._of(row) for row in predictions], dtype=np.float64).reshape(-1, 3)

    def _of(self, row: Prediction) -> tuple[float, float, float]:
        told = row.measured
        if self.ability not in (None, row.record.slices.get(ABILITY)) or not {"before", "after"} <= told.keys():
            return 0.0, 0.0, 0.0
        chance = told.get("chance", 0.0)
        return told["before"] - chance, told["after"] - chance, 1.0

    def value(self, totals: Floats) -> Floats:
        before, after = totals[..., 0], totals[..., 1]
        kept = ratio(after, np.where(before > 1e-12, before, 0.0))
        return np.asarray(np.clip(kept, self.lowest, self.highest))

    def per_row(self, statistics: Floats) -> Floats:
        """[N]: what became of each item, the tuned model's score less the base's; nan for other abilities."""
        return np.where(statistics[:, 2] > 0, statistics[:, 1] - statistics[:, 0], np.nan)
