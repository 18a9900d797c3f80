"""Accuracy: the share of rows whose label is right; of rows with several labels, all of them and no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tunesmith.metrics import Need, Proportion
from tunesmith.metrics._labels import label_sets
from tunesmith.records import Prediction


class Accuracy(Proportion):
    """Share of rows with exactly the right label or set of labels."""

    needs: ClassVar[frozenset[Need]] = frozenset({"label"})

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        return [float(right == given) for right, given in label_sets(predictions)]
