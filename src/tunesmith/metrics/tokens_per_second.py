"""Tokens per second: tokens generated over the time it took, of rows asked alone, reading the question included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.metrics._measured import ANSWER_TOKENS
from tunesmith.records import Prediction


class TokensPerSecond(Metric):
    """How fast answers are written."""

    needs: ClassVar[frozenset[Need]] = frozenset({"seconds", "text"})
    unit: ClassVar[str] = "tokens/s"
    highest: ClassVar[float] = float("inf")

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 2]: tokens and seconds; nothing of rows that were not timed.
        timed = [
            (row.measured[ANSWER_TOKENS], row.seconds) if row.seconds > 0 and ANSWER_TOKENS in row.measured else (0, 0)
            for row in predictions
        ]
        return np.array(timed, dtype=np.float64).reshape(-1, 2)

    def value(self, totals: Floats) -> Floats:
        return ratio(totals[..., 0], totals[..., 1])
