"""Expected calibration error: how far confidence is from being right, over bins of confidence (Guo et al. 2017).

The confidence of a row is the probability of its likeliest label. Bins are of equal width; bin i holds confidences
above (i - 1) / M up to i / M, as in the paper. A bin's error is the gap between its mean confidence and the share of
its rows that are right, and the bins' errors are weighed by their rows. Few rows, or many bins, make it too large: a
model that is perfectly calibrated has an error above 0 too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.metrics._intervals import percentiles
from tunesmith.metrics._probabilities import believed
from tunesmith.records import Prediction

FEWEST = 20
"""Rows a bin, below which the interval is too narrow (tests/golden/test_coverage.py)."""


class Ece(Metric):
    """Gap between how sure a model is and how often it is right."""

    needs: ClassVar[frozenset[Need]] = frozenset({"label", "scores"})
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    bins: int = Field(default=15, ge=1, le=1000)
    """How many bins of confidence there are."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 2 bins]: of the row's bin, 1 and how much surer than right it was; 0 elsewhere.
        found = np.zeros((len(predictions), 2, self.bins))
        for row, held in enumerate(believed(predictions)):
            if held is not None:
                label = max(held.scores, key=lambda name: held.scores[name])
                sure = held.scores[label]
                place = min(max(math.ceil(sure * self.bins) - 1, 0), self.bins - 1)
                found[row, :, place] = 1.0, sure - float(label in held.right)
        return found.reshape(len(predictions), 2 * self.bins)

    def value(self, totals: Floats) -> Floats:
        rows, gaps = totals[..., : self.bins], totals[..., self.bins :]
        return ratio(np.abs(gaps).sum(-1), rows.sum(-1))

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        """The bootstrap's percentiles and, as resamples are too large by about as much as the value itself is, the same
        mirrored at it; from the lower end of either to the upper one."""
        value = self.whole(statistics)
        if not math.isfinite(value) or (limits := percentiles(drawn, confidence)) is None:
            return None
        low, high = min(limits[0], 2 * value - limits[1]), max(limits[1], 2 * value - limits[0])
        return max(low, self.lowest), min(high, self.highest)

    def caution(self, statistics: Floats) -> str:
        rows = int(statistics[:, : self.bins].sum())
        if rows >= FEWEST * self.bins:
            return ""
        return (
            f"{rows} test rows in {self.bins} bins make the error look larger than it is, and the interval sure of it"
        )
