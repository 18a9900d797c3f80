"""Rating: the mean of what people said of each answer, on the scale of the review's rubric.

It is measured on the rows that people rated (`tunesmith review`). A row's value is the mean of its raters', or what
the adjudicator decided. Yes counts 1 and no counts 0; of a choice name one option,
`{kind: rating, criterion: tone=warm}`, whose rating is the share of raters who chose it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from tunesmith.metrics import Floats, Metric, Need, Rows, ratio
from tunesmith.metrics._intervals import accelerated, agreed_difference, untouched
from tunesmith.records import Prediction


class Rating(Metric):
    """Mean of people's ratings by one criterion of a review."""

    needs: ClassVar[frozenset[Need]] = frozenset({"measured"})
    rows: ClassVar[Rows] = "review"
    highest: ClassVar[float] = float("inf")
    criterion: str = Field(min_length=1, max_length=130, examples=["helpful"])
    """Which criterion of the rubric."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 4]: rating, one, and the ends of its scale, which travel with it; nothing where nobody rated.
        found = np.zeros((len(predictions), 4))
        name = f"review.{self.criterion}"
        for row, prediction in enumerate(predictions):
            value = prediction.measured.get(name, math.nan)
            if math.isfinite(value):
                ends = (prediction.measured.get(f"{name}.{end}", value) for end in ("lowest", "highest"))
                found[row] = (value, 1.0, *ends)
        return found

    def value(self, totals: Floats) -> Floats:
        return ratio(totals[..., 0], totals[..., 1])

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        rated = statistics[statistics[:, 1] > 0]
        if not len(rated):
            return None
        value, low, high = self.whole(rated), float(rated[:, 2].min()), float(rated[:, 3].max())
        for end in (low, high):
            # Where all agree on an end of the scale each resample does too, which is no certainty.
            if math.isclose(value, end, abs_tol=1e-9):
                return untouched(end, len(rated), low, high, confidence)
        return accelerated(value, drawn, self.left_out(statistics), confidence)

    def difference(self, after: Floats, before: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        if np.array_equal(after, before) and (rated := after[:, 1] > 0).any():
            limits = agreed_difference(0, 0, int(rated.sum()), confidence)
            reach = float(after[rated, 3].max() - after[rated, 2].min())
            return limits and (limits[0] * reach, limits[1] * reach)
        return super().difference(after, before, drawn, confidence)
