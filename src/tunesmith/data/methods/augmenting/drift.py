"""How far new rows lead away from those that were there: lengths, vocabulary, classes.

W words, in buckets.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.augmenting.words import words_of

_MOST = 18
"""Words are counted in at most 2^18 buckets."""
_LONGEST = 20_000
"""Lengths above count as this."""


def divergence(one_W: npt.ArrayLike, other_W: npt.ArrayLike) -> float:
    """The Jensen-Shannon divergence of two counts, in bits: 0 the same shares, 1 nothing in common (Lin 1991).

    Not a number where one of them is empty.
    """
    p_W, q_W = np.asarray(one_W, np.float64), np.asarray(other_W, np.float64)
    if not p_W.sum() or not q_W.sum():
        return float("nan")
    p_W, q_W = p_W / p_W.sum(), q_W / q_W.sum()
    mean_W = (p_W + q_W) / 2

    def against_mean(share_W: npt.NDArray[np.float64]) -> float:
        there = share_W > 0
        return float((share_W[there] * np.log2(share_W[there] / mean_W[there])).sum())

    return max(0.0, (against_mean(p_W) + against_mean(q_W)) / 2)


class Tally:
    """Words, lengths and classes of some rows.

    Args:
        expected: how many rows there may be; two tallies that are compared are told the same.
    """

    def __init__(self, expected: int) -> None:
        self.rows = 0
        self.words_W = np.zeros(1 << min(_MOST, 12 + expected.bit_length()), dtype=np.int64)
        self.lengths = np.zeros(_LONGEST + 1, dtype=np.int64)
        self.labels: Counter[str] = Counter()

    def add(self, text: str, labels: tuple[str, ...]) -> None:
        """Counts a row."""
        folded = (word.text.casefold().encode("utf-8", "surrogatepass") for word in words_of(text))
        words = [crc32(word) % len(self.words_W) for word in folded]
        np.add.at(self.words_W, words, 1)
        self.lengths[min(len(words), _LONGEST)] += 1
        self.labels.update(labels)
        self.rows += 1

    @property
    def mean_length(self) -> float:
        """Words a row."""
        return float(self.lengths @ np.arange(_LONGEST + 1)) / self.rows if self.rows else 0.0


def drift(before: Tally, new: Tally) -> dict[str, Any]:
    """What rows were like, what they are with the new ones, and how far new ones differ; plain JSON values."""
    both_W = before.words_W + new.words_W
    steps = np.cumsum(before.lengths) / max(before.rows, 1) - np.cumsum(new.lengths) / max(new.rows, 1)
    names = [label for label, _ in (before.labels + new.labels).most_common()]
    return {
        "rows": {"before": before.rows, "new": new.rows},
        "words a row": {"before": round(before.mean_length, 2), "new": round(new.mean_length, 2)},
        "lengths, largest difference of cumulative shares": _rounded(float(np.abs(steps).max()) if new.rows else None),
        "vocabulary, divergence in bits": {
            "new rows": _rounded(divergence(before.words_W, new.words_W)),
            "all rows": _rounded(divergence(before.words_W, both_W)),
        },
        "different words": {"before": int((before.words_W > 0).sum()), "all": int((both_W > 0).sum())},
        "classes": {
            label: {"before": before.labels[label], "after": before.labels[label] + new.labels[label]}
            for label in names
        },
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else round(value, 4)
