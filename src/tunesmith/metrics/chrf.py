"""chrF of the whole corpus, 0 to 100, as sacrebleu computes it (Popovic 2015).

Character n-grams ask nothing of a language's words, so it suits any script. With several right answers
the nearest one of each row counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.metrics.bleu import sacrebleu_statistics
from tunesmith.records import Prediction

_CHAR_ORDERS = 6
_BETA_SQUARED = 4


class Chrf(Metric):
    """F-score of shared character n-grams, recall weighing twice."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    highest: ClassVar[float] = 100.0
    word_order: int = Field(default=0, ge=0, le=2)
    """Word n-grams counted beside those of characters; 2 is chrF++."""
    lowercase: bool = False
    """Whether case is ignored."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 3 (6 + word_order)]: of each order the n-grams given, wanted, and shared.
        from sacrebleu.metrics.chrf import CHRF

        counter = CHRF(word_order=self.word_order, lowercase=self.lowercase)
        return sacrebleu_statistics(counter, predictions).reshape(-1, 3 * (_CHAR_ORDERS + self.word_order))

    def value(self, totals: Floats) -> Floats:
        orders = totals.reshape(*totals.shape[:-1], totals.shape[-1] // 3, 3)
        given, wanted, shared = orders[..., 0], orders[..., 1], orders[..., 2]
        counted = (given > 0) & (wanted > 0)
        number = counted.sum(-1).astype(float)
        precision = ratio(np.where(counted, ratio(shared, given, empty=0.0), 0.0).sum(-1), number, empty=0.0)
        recall = ratio(np.where(counted, ratio(shared, wanted, empty=0.0), 0.0).sum(-1), number, empty=0.0)
        return 100 * ratio((1 + _BETA_SQUARED) * precision * recall, _BETA_SQUARED * precision + recall, empty=0.0)
