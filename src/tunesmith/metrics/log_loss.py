"""Log loss: the mean negative log of the probability given to the right label, in nats (scikit-learn's log_loss).

A probability of 0 counts as the smallest number that can be told from it, 2.2e-16, and costs 36 nats. Of a row with
several right labels each costs its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Mean, Need
from tunesmith.metrics._probabilities import believed
from tunesmith.records import Prediction

_SMALLEST = float(np.finfo(np.float64).eps)


class LogLoss(Mean):
    """How surprised the model is by right labels."""

    needs: ClassVar[frozenset[Need]] = frozenset({"label", "scores"})
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    highest: ClassVar[float] = float("inf")

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        return [
            np.nan
            if held is None
            else -sum(np.log(max(held.scores.get(label, 0.0), _SMALLEST)) for label in held.right)
            for held in believed(predictions)
        ]
