"""Perplexity of the right answers: exp of the mean negative log-likelihood per token or character.

Per token it compares models of one tokenizer only; per character it compares any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.records import Prediction

_LARGEST_EXPONENT = 700.0
"""Above it a float overflows; no model that works comes near."""


class Perplexity(Metric):
    """How surprised the model is by the right answers."""

    needs: ClassVar[frozenset[Need]] = frozenset({"nll"})
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    lowest: ClassVar[float] = 1.0
    highest: ClassVar[float] = float("inf")
    per: Literal["token", "character"] = "token"
    """What the surprise is shared out over."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 2]: nats and what they are shared over; a row without an nll adds nothing.
        return np.array(
            [
                (0.0, 0.0) if row.nll is None else (row.nll, row.num_tokens if self.per == "token" else row.num_chars)
                for row in predictions
            ],
            dtype=np.float64,
        ).reshape(-1, 2)

    def value(self, totals: Floats) -> Floats:
        return np.exp(np.minimum(ratio(totals[..., 0], totals[..., 1]), _LARGEST_EXPONENT))
