"""F1: the harmonic mean of precision and recall, of one label or averaged over all."""

from __future__ import annotations

from tunesmith.metrics import Floats
from tunesmith.metrics._labels import PerLabel, f1_of


class F1(PerLabel):
    """F1 of one label, or the plain mean over all labels."""

    def of_counts(self, right: Floats, wrong: Floats, missed: Floats) -> Floats:
        return f1_of(right, wrong, missed)
