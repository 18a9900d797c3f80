"""Shortcut: how many right answers hang on a single word, measured on the rows of `evaluate.explain`.

Of the right answers to rows that hold a word, the share that change when the word is left out; of the words that were
tried in turn, that of the word where it is largest. Leaving words out is how Li et al. 2016 (arXiv 1612.08220) find
what a model rests on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tunesmith.metrics import Floats, Metric, Need, Rows, ratio
from tunesmith.metrics._intervals import wilson
from tunesmith.metrics._measured import WORDS
from tunesmith.records import Prediction


class Shortcut(Metric):
    """Largest share of right answers that change when one and the same word is left out. W words."""

    needs: ClassVar[frozenset[Need]] = frozenset({"measured"})
    rows: ClassVar[Rows] = "without_words"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    for_contract: ClassVar[Mapping[str, Any]] = {"min_rows": 1}
    by: Literal["left_out", "put_in"] = "left_out"
    """`left_out`: answers to rows with the word that change without it; `put_in`: right answers of other labels that
    become the word's label once it is put in front."""
    word: str | None = Field(default=None, min_length=1)
    """Only this word, whether or not it goes with a label; the word that most answers hang on when left out."""
    min_rows: int = Field(default=10, ge=1)
    """Words that fewer right answers were tried with are left out of it."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        """[N, 2 W]: of every word whether the answer changed, then whether it was asked so."""
        front = WORDS[self.by]
        told = [
            {name.removeprefix(front): value for name, value in row.measured.items() if name.startswith(front)}
            for row in predictions
        ]
        wanted = None if self.word is None else self.word.casefold()
        words = sorted({word for row in told for word in row if wanted in (None, word)})
        counts = np.zeros((len(told), 2, len(words)))
        for place, row in enumerate(told):
            for number, word in enumerate(words):
                if word in row:
                    counts[place, :, number] = (row[word], 1.0)
        counts *= counts[:, 1].sum(axis=0) >= self.min_rows
        return counts.reshape(len(told), 2 * len(words))

    def value(self, totals: Floats) -> Floats:
        changed, asked = _halves(totals)
        shares = ratio(changed, asked, empty=-np.inf)
        largest = shares.max(axis=-1, initial=-np.inf)
        return np.where(np.isfinite(largest), largest, np.nan)

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        """By the intervals of all words together (Wilson 1927, Bonferroni): a bootstrap of a largest share is too high
        and too sure."""
        changed, asked = _halves(statistics.sum(axis=0))
        known = [(k, int(n)) for k, n in zip(changed.tolist(), asked.tolist(), strict=True) if n]
        every = [wilson(k, n, 1 - (1 - confidence) / len(known)) for k, n in known]
        limits = [each for each in every if each is not None]
        return (max(low for low, _ in limits), max(high for _, high in limits)) if limits else None


def _halves(totals: Floats) -> tuple[Floats, Floats]:
    """Changed and asked, each [..., W]."""
    words = totals.shape[-1] // 2
    return totals[..., :words], totals[..., words:]
