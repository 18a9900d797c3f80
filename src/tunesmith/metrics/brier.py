"""Brier score: the squared distance of the labels' probabilities from what is right, averaged over rows (Brier 1950).

As scikit-learn has it: with two labels 0 to 1, the squared error of one of them; with more the sum over all labels, 0
to 2. A right label that the model does not know has a probability of 0. Where rows may have several labels each of them
is right or not by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Mean, Need
from tunesmith.metrics._probabilities import Believed, believed
from tunesmith.records import Prediction


class Brier(Mean):
    """Squared error of probabilities."""

    needs: ClassVar[frozenset[Need]] = frozenset({"label", "scores"})
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    highest: ClassVar[float] = 2.0

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        return [np.nan if held is None else _distance(held) for held in believed(predictions)]


def _distance(held: Believed) -> float:
    labels = held.scores.keys() | held.right
    squares = sum((held.scores.get(label, 0.0) - (label in held.right)) ** 2 for label in labels)
    return squares / 2 if len(labels) == 2 else squares
