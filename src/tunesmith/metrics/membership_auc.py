"""Membership AUC: how well an attack tells training rows from held-out rows; 0.5 is not at all.

Measured on the rows of `evaluate.privacy`. The attacks, each by the model's loss on a row:

    loss        the smaller, the likelier it was trained on (Yeom et al. 2018, arXiv 1709.01604)
    calibrated  the loss less that of the base, which never saw the row (Carlini et al. 2022, arXiv 2112.03570)
    min_k       the loss of the row's least likely tokens alone (Min-K%, Shi et al. 2023, arXiv 2310.16789)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Floats, Metric, Need, Rows
from tunesmith.metrics._measured import ATTACKS, MEMBER
from tunesmith.metrics._roc import auc, auc_interval, counts, placements, statistics_of
from tunesmith.records import Prediction


class MembershipAuc(Metric):
    """Area under the ROC curve of an attack that tells training rows from held-out ones; 0.5 where it cannot."""

    needs: ClassVar[frozenset[Need]] = frozenset({"measured"})
    rows: ClassVar[Rows] = "privacy"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    attack: Literal["auto", "loss", "calibrated", "min_k"] = "auto"
    """`loss`, `calibrated` by the base, or `min_k`; `auto` is calibrated, and loss where the base has no such loss."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        name = self.attack
        if name == "auto":
            name = "calibrated" if any(ATTACKS["calibrated"] in row.measured for row in predictions) else "loss"
        ones, scores = (
            np.array([row.measured.get(key, math.nan) for row in predictions], np.float64)
            for key in (MEMBER, ATTACKS[name])
        )
        return statistics_of(ones, scores)

    def value(self, totals: Floats) -> Floats:
        return np.full(totals.shape[:-1], np.nan)  # an area is of rows, not of their sums

    def per_row(self, statistics: Floats) -> Floats:
        return placements(statistics)

    def resampled(self, statistics: Floats, weights: Floats) -> Floats:
        return auc(statistics, weights)

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        return auc_interval(self.whole(statistics), *counts(statistics), confidence)
