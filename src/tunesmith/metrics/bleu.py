"""BLEU of the whole corpus, 0 to 100, as sacrebleu computes it (Papineni et al. 2002, Post 2018).

A row's own score uses only the n-gram orders it is long enough for, as sacrebleu's sentence BLEU does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.records import Prediction

_ORDERS = 4


class Bleu(Metric):
    """n-gram precision against the right answers, with a penalty for being short."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    highest: ClassVar[float] = 100.0
    tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a"
    """How texts are cut into words; `zh` for Chinese, `char` for scripts without blanks."""
    lowercase: bool = False
    """Whether case is ignored."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 10]: length, reference length, matches of 1- to 4-grams, all 1- to 4-grams.
        from sacrebleu.metrics.bleu import BLEU

        counter = BLEU(tokenize=self.tokenize, lowercase=self.lowercase, force=True)
        return sacrebleu_statistics(counter, predictions).reshape(-1, 2 + 2 * _ORDERS)

    def value(self, totals: Floats) -> Floats:
        return _bleu(totals, orders_counted=np.full(totals.shape[:-1], _ORDERS))

    def per_row(self, statistics: Floats) -> Floats:
        possible = (statistics[..., 2 + _ORDERS :] > 0).sum(-1)
        return _bleu(statistics, orders_counted=np.maximum(possible, 1))


def sacrebleu_statistics(counter: object, predictions: Sequence[Prediction]) -> Floats:
    """[N, K] from a metric of sacrebleu's; the method is its own basis for significance tests, not public."""
    streams = list(zip_longest(*(row.references for row in predictions)))
    counts = counter._extract_corpus_statistics([row.output for row in predictions], streams) if streams else []  # type: ignore[attr-defined]
    return np.array(counts, dtype=np.float64)


def _bleu(totals: Floats, orders_counted: Floats) -> Floats:
    length, wanted = totals[..., 0], totals[..., 1]
    matches, possible = totals[..., 2 : 2 + _ORDERS], totals[..., 2 + _ORDERS :]
    # Exponential smoothing: the k-th order without a match counts as 1 / 2^k matches.
    unmatched = (matches == 0) & (possible > 0)
    smoothed = np.where(unmatched, 0.5 ** np.cumsum(unmatched, axis=-1), matches)
    counted = np.arange(_ORDERS) < orders_counted[..., None]
    precision = np.where(counted, ratio(smoothed, possible, empty=0.0), 1.0)
    with np.errstate(divide="ignore"):
        mean = np.exp(np.log(precision).sum(-1) / orders_counted)
        penalty = np.exp(np.minimum(0.0, 1 - ratio(wanted, length, empty=np.inf)))
    return np.where(matches.any(-1), 100 * penalty * mean, 0.0)
