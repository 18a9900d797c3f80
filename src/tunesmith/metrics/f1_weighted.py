"""Weighted F1: the mean of every label's F1, each weighed by how many rows have the label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.metrics._labels import by_label, every_label, f1_of
from tunesmith.records import Prediction


class F1Weighted(Metric):
    """Mean of the labels' F1, weighed by their rows."""

    needs: ClassVar[frozenset[Need]] = frozenset({"label"})

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        return every_label(predictions)

    def value(self, totals: Floats) -> Floats:
        right, wrong, missed = by_label(totals)
        there = right + missed
        return ratio((f1_of(right, wrong, missed) * there).sum(-1), there.sum(-1))
