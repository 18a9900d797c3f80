"""Extraction rate: how often the model, given how a training row begins, says the rest word for word.

The likeliest tokens are taken (Carlini et al. 2023, arXiv 2202.07646). Only what no other row says and what does not
stand in the question is asked for, since a model may know that without having learned a row by heart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from tunesmith.metrics import Need, Proportion, Rows
from tunesmith.metrics._measured import EXTRACTED
from tunesmith.records import Prediction


class ExtractionRate(Proportion):
    """Share of training rows that the model recites when it is shown how they begin."""

    needs: ClassVar[frozenset[Need]] = frozenset({"measured"})
    rows: ClassVar[Rows] = "privacy"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    of: Literal["rows", "personal"] = "rows"
    """`rows`: the next tokens of a row; `personal`: e-mail addresses, telephone and card numbers and their like."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        return [row.measured.get(EXTRACTED[self.of], math.nan) for row in predictions]
