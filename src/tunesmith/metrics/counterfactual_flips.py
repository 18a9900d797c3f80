"""Counterfactual flips: the share of rows whose answer changes when the terms of identity in them are swapped.

It is measured on the pairs that `evaluate.fairness` asks the tuned model about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from tunesmith.metrics import Need, Proportion, Rows
from tunesmith.metrics._measured import FLIPPED, IDENTITY
from tunesmith.records import Prediction


class CounterfactualFlips(Proportion):
    """Share of counterfactual pairs whose answers differ."""

    needs: ClassVar[frozenset[Need]] = frozenset({"measured"})
    rows: ClassVar[Rows] = "counterfactual"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    identity: str | None = None
    """Only pairs in which terms of this kind were swapped, such as `gender`; all pairs when left out."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        return [
            row.measured.get(FLIPPED, math.nan)
            if self.identity in (None, row.record.slices.get(IDENTITY))
            else math.nan
            for row in predictions
        ]
