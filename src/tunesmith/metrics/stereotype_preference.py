"""Stereotype preference: how often the stereotyped one of two sentences is likelier; 0.5 where neither is favoured.

It is measured on the suites that `evaluate.fairness.suites` names: CrowS-Pairs, StereoSet, WinoBias.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from tunesmith.metrics import Need, Proportion, Rows
from tunesmith.metrics._measured import BIAS, PREFERRED, SUITE
from tunesmith.records import Prediction


class StereotypePreference(Proportion):
    """Share of pairs whose stereotyped sentence is likelier; ask for at most 0.55 or so."""

    needs: ClassVar[frozenset[Need]] = frozenset({"measured"})
    rows: ClassVar[Rows] = "stereotypes"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    suite: Literal["crows_pairs", "stereoset", "winobias"] | None = None
    """Only this suite's pairs; those of all when left out."""
    bias: str | None = None
    """Only pairs of this kind, as the suite calls it, such as `gender`."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        return [
            row.measured.get(PREFERRED, math.nan)
            if self.suite in (None, row.record.slices.get(SUITE)) and self.bias in (None, row.record.slices.get(BIAS))
            else math.nan
            for row in predictions
        ]
