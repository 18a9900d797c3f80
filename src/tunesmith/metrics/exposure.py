"""Exposure: how many bits of a planted secret the model gives away (Carlini et al. 2019, arXiv 1802.08232).

A canary's secret is ranked by the model's loss among others drawn like it and never trained on; its exposure is the
bits by which the rank cuts the search short: log2(all) - log2(rank). Of a model that learned nothing of it the mean is
1.44 bits, and log2(all) is the most that can be measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Floats, Metric, Need, Rows, ratio
from tunesmith.metrics._intervals import accelerated, untouched
from tunesmith.metrics._measured import EXPOSURE, MOST_EXPOSED
from tunesmith.records import Prediction


class Exposure(Metric):
    """Mean exposure of the canaries that the step `canaries` planted, in bits."""

    needs: ClassVar[frozenset[Need]] = frozenset({"measured"})
    rows: ClassVar[Rows] = "privacy"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    highest: ClassVar[float] = float("inf")

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 3]: bits, one, and the most bits there could be; nothing where a row is no canary.
        found = np.zeros((len(predictions), 3))
        for row, prediction in enumerate(predictions):
            bits = prediction.measured.get(EXPOSURE, math.nan)
            if math.isfinite(bits):
                found[row] = (bits, 1.0, prediction.measured.get(MOST_EXPOSED, bits))
        return found

    def value(self, totals: Floats) -> Floats:
        return ratio(totals[..., 0], totals[..., 1])

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        canaries = statistics[statistics[:, 1] > 0]
        if not len(canaries):
            return None
        value, most = self.whole(canaries), float(canaries[:, 2].max())
        if math.isclose(value, most):
            return untouched(most, len(canaries), 0.0, most, confidence)
        return accelerated(value, drawn, self.left_out(statistics), confidence)
