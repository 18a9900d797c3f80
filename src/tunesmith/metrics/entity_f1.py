"""Entity F1 as CoNLL scores it: a span counts when its bounds and its label are both right.

Micro-averaged over all spans, equal to seqeval's `f1_score` of the same spans. Predictions without spans
(None, of a model that does not tag) have nothing to measure; an empty tuple is an answer like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.records import Prediction


class EntityF1(Metric):
    """F1 over exactly matched spans."""

    needs: ClassVar[frozenset[Need]] = frozenset({"spans"})
    label: str | None = None
    """Only spans of this label; all when left out."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 4]: right, wrong and missed spans, and whether the row was tagged at all.
        counts = []
        for row in predictions:
            if row.spans is None:
                counts.append((0, 0, 0, 0))
                continue
            right = {span for span in row.record.spans or () if self.label in (None, span.label)}
            given = {span for span in row.spans if self.label in (None, span.label)}
            counts.append((len(right & given), len(given - right), len(right - given), 1))
        return np.array(counts, dtype=np.float64).reshape(-1, 4)

    def value(self, totals: Floats) -> Floats:
        right, wrong, missed = totals[..., 0], totals[..., 1], totals[..., 2]
        return ratio(2 * right, 2 * right + wrong + missed)

    def per_row(self, statistics: Floats) -> Floats:
        # A tagged row without spans, given none, is as right as can be.
        empty = ~statistics[..., :3].any(axis=-1) & (statistics[..., 3] > 0)
        return np.where(empty, 1.0, self.value(statistics))
