"""Probabilities of labels against what is right. What the metrics of calibration share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tunesmith.metrics._labels import label_sets
from tunesmith.records import Prediction


class Believed(NamedTuple):
    """What a model believes of a row, and what is right."""

    scores: dict[str, float]
    right: frozenset[str]


def believed(predictions: Sequence[Prediction]) -> list[Believed | None]:
    """Of each row; None where the model gave no probabilities."""
    pairs = label_sets(predictions)
    return [
        Believed(dict(row.scores), right) if row.scores else None
        for row, (right, _) in zip(predictions, pairs, strict=True)
    ]
