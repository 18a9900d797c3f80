"""Robustness: how much of its score the tuned model keeps on rows that were changed (`evaluate.robustness`).

The sum of the rows' scores after the change over the same sum before it; 1 is no change. Of questions out of scope it
is the share that the model is seen not to answer. Rows that the change leaves as they are do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from tunesmith.metrics import Floats, Metric, Need, Rows, ratio
from tunesmith.metrics._intervals import agreed_difference, wilson
from tunesmith.records import Prediction
from tunesmith.spec.rooms.robustness import Change


def measure_names(change: str) -> tuple[str, str]:
    """Under which names a row's scores before and after a change stand in `Prediction.measured`, each 0 to 1."""
    return f"robustness.{change}.before", f"robustness.{change}.after"


class Robustness(Metric):
    """Share of its score on clean rows that the tuned model keeps on changed ones."""

    needs: ClassVar[frozenset[Need]] = frozenset({"measured"})
    rows: ClassVar[Rows] = "robustness"
    highest: ClassVar[float] = 2.0
    change: Change = Field(examples=["typos"])
    """What becomes of the rows; one of `evaluate.robustness.kinds`."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 3]: scores before and after, and 1; rows that were changed otherwise add nothing.
        before, after = measure_names(self.change)
        told = [row.measured for row in predictions]
        said = [(row[before], row[after], 1.0) if before in row else (0.0, 0.0, 0.0) for row in told]
        return np.array(said, dtype=np.float64).reshape(-1, 3)

    def value(self, totals: Floats) -> Floats:
        before, after = totals[..., 0], totals[..., 1]
        kept = ratio(after, np.where(before > 1e-12, before, 0.0))
        return np.asarray(np.clip(kept, self.lowest, self.highest))

    def per_row(self, statistics: Floats) -> Floats:
        """[N]: what the change does to each row's score; nan for rows changed otherwise."""
        return np.where(statistics[:, 2] > 0, statistics[:, 1] - statistics[:, 0], np.nan)

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        """The bootstrap's interval, and where scores are 0 or 1 never narrower than what the rows that differ allow for
        (Bonett and Price 2012): few of them, or none, say little of rows not seen. Rows that were all right before
        make a proportion (Wilson 1927)."""
        before, after = statistics[statistics[:, 2] > 0, :2].T
        if not before.sum():
            return None
        if (before == 1).all() and np.isin(after, (0, 1)).all():
            return wilson(after.sum(), len(after), confidence)
        found = super().interval(statistics, drawn, confidence)
        won, lost = int((after > before).sum()), int((after < before).sum())
        least = agreed_difference(won, lost, len(before), confidence)
        if least is None or not (np.isin([before, after], (0, 1)).all() or won + lost == 0):
            return found
        kept, share = float(after.sum() / before.sum()), float(before.mean())
        # The formula shrinks the difference towards 0; how far its ends lie from the value is what counts.
        middle = (won - lost) / len(before)
        low, high = kept + (least[0] - middle) / share, kept + (least[1] - middle) / share
        low, high = (low, high) if found is None else (min(low, found[0]), max(high, found[1]))
        return max(self.lowest, low), min(self.highest, high)
