"""Macro F1: the plain mean of every label's F1, so that rare labels count as much as common ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tunesmith.metrics import Floats, Metric, Need
from tunesmith.metrics.f1 import F1
from tunesmith.records import Prediction

_EVERY_LABEL = F1()


class F1Macro(Metric):
    """Mean of the labels' F1."""

    needs: ClassVar[frozenset[Need]] = frozenset({"label"})

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        return _EVERY_LABEL.statistics(predictions)

    def value(self, totals: Floats) -> Floats:
        return _EVERY_LABEL.value(totals)

    def caution(self, statistics: Floats) -> str:
        return _EVERY_LABEL.caution(statistics)
