"""Micro F1: one F1 from the counts of all labels together; with one label a row it equals accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.metrics._labels import label_sets
from tunesmith.records import Prediction


class F1Micro(Metric):
    """F1 over all labels of all rows taken together."""

    needs: ClassVar[frozenset[Need]] = frozenset({"label"})

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        pairs = label_sets(predictions)
        counts = [(len(right & given), len(given - right), len(right - given)) for right, given in pairs]
        return np.array(counts, dtype=np.float64).reshape(-1, 3)

    def value(self, totals: Floats) -> Floats:
        right, wrong, missed = totals[..., 0], totals[..., 1], totals[..., 2]
        return ratio(2 * right, 2 * right + wrong + missed)
