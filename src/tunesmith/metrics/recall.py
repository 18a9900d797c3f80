"""Recall: of the rows that have a label, the share given it."""

from __future__ import annotations

from tunesmith.metrics import Floats, ratio
from tunesmith.metrics._labels import PerLabel


class Recall(PerLabel):
    """Of the rows that have a label, the share given it."""

    def of_counts(self, right: Floats, wrong: Floats, missed: Floats) -> Floats:
        return ratio(right, right + missed, empty=0.0)
