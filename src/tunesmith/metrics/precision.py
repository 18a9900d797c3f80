"""Precision: of the rows given a label, the share that have it."""

from __future__ import annotations

from tunesmith.metrics import Floats, ratio
from tunesmith.metrics._labels import PerLabel


class Precision(PerLabel):
    """Of the rows given a label, the share that have it."""

    def of_counts(self, right: Floats, wrong: Floats, missed: Floats) -> Floats:
        return ratio(right, right + wrong, empty=0.0)
