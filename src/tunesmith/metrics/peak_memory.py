"""The most memory while the rows were predicted, in MB: of the GPU where the model lies on one, else of the process.

It was measured once, over all rows and with `scale.batch` of them at once; no row was drawn for it, so that its
interval has no width. Of the process it is known on Linux only, and counts Python and its libraries too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Floats, Metric, Need
from tunesmith.metrics._measured import PEAK_MEMORY
from tunesmith.records import Prediction


class PeakMemory(Metric):
    """Memory that predicting takes."""

    needs: ClassVar[frozenset[Need]] = frozenset({"seconds"})
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "MB"
    highest: ClassVar[float] = float("inf")

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 1]: MB, nan where not measured.
        return np.array([row.measured.get(PEAK_MEMORY, np.nan) for row in predictions], dtype=np.float64)[:, None]

    def value(self, totals: Floats) -> Floats:
        return totals[..., 0]

    def resampled(self, statistics: Floats, weights: Floats) -> Floats:
        known = np.isfinite(statistics[:, 0])
        if not known.any():
            return np.full(len(weights), np.nan)
        counted = np.where(weights[:, known] > 0, statistics[known, 0], -np.inf).max(axis=1)
        return np.where(np.isfinite(counted), counted, np.nan)

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        value = self.whole(statistics)
        return (value, value) if math.isfinite(value) else None

    def difference(self, after: Floats, before: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        value = self.whole(after) - self.whole(before)
        return (value, value) if math.isfinite(value) else None

    def p_value(self, after: Floats, before: Floats, drawn: Floats) -> float | None:
        return None
