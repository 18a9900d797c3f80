"""Balanced accuracy: the plain mean of every label's recall, over labels that rows have, as scikit-learn has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.metrics._labels import by_label, every_label, few_of_a_label
from tunesmith.records import Prediction


class BalancedAccuracy(Metric):
    """Mean of the labels' recall."""

    needs: ClassVar[frozenset[Need]] = frozenset({"label"})

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        return every_label(predictions)

    def value(self, totals: Floats) -> Floats:
        right, _, missed = by_label(totals)
        there = right + missed
        return ratio(ratio(right, there, empty=0.0).sum(-1), np.count_nonzero(there, axis=-1).astype(float))

    def caution(self, statistics: Floats) -> str:
        return few_of_a_label(statistics)
