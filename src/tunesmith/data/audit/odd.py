"""Rows unlike the others: giants, rare characters, letters in an order that does not occur elsewhere. N rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

GIANT, GIANT_AT_LEAST = 5.0, 10.0
"""So many deviations above the median of the logarithm, and so many times the median."""
RARE_ROWS, RARE_SHARE, RARE_COUNT = 0.002, 0.2, 3
"""A character is rare in fewer rows than this share; a row is odd with so large a share and so many of them."""
UNLIKELY, SHORTEST = 8.0, 20
"""So many deviations above the median bits a character, in rows of at least so many characters."""
_ALPHABET = 128
_CUT = 2_000
"""Characters of a row that are looked at."""


def odd_rows(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Rows unlike the others, the oddest first: [{row, why, value, usual}]; a row is named once a reason."""
    lengths_N = np.array([len(text) for text in texts], np.float64)
    found = []
    for why, values_N, odd_N in (
        ("giant", lengths_N, giants(lengths_N)),
        ("rare characters", *rare_characters(texts)),
        ("unlikely letters", *unlikely(texts)),
    ):
        usual = float(np.median(values_N)) if len(values_N) else 0.0
        rows = np.flatnonzero(odd_N)
        order = rows[np.argsort(-values_N[rows], kind="stable")].tolist()
        found += [{"row": at, "why": why, "value": float(values_N[at]), "usual": usual} for at in order]
    return found


def giants(lengths_N: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Rows far longer than the others."""
    if not len(lengths_N):
        return np.zeros(0, bool)
    logs = np.log(np.maximum(lengths_N, 1))
    middle, deviation = _robust(logs)
    return (logs > middle + GIANT * max(deviation, 0.2)) & (lengths_N > GIANT_AT_LEAST * np.median(lengths_N))


def rare_characters(texts: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The share of characters of each row that hardly any other row has, and which rows are odd by it."""
    holders: Counter[str] = Counter()
    for text in texts:
        holders.update(set(text[:_CUT]))
    rare = {character for character, count in holders.items() if count < max(2, RARE_ROWS * len(texts))}
    counts = np.array([sum(character in rare for character in text[:_CUT]) for text in texts], np.float64)
    shares = counts / np.maximum([min(len(text), _CUT) for text in texts], 1)
    return shares, (counts >= RARE_COUNT) & (shares >= RARE_SHARE)


def unlikely(texts: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Bits a character under a model of three letters, and which rows are odd by it.

    Each half of the rows is judged by a model of the other half, so that no row vouches for itself.
    """
    bits_N = np.zeros(len(texts))
    if len(texts) < 2 * SHORTEST:
        return bits_N, np.zeros(len(texts), bool)
    common = [
        character for character, _ in Counter("".join(text[:_CUT].lower() for text in texts)).most_common(_ALPHABET - 2)
    ]
    numbers = {character: number for number, character in enumerate(common, 2)}
    coded = [np.array([0, 0, *(numbers.get(c, 1) for c in text[:_CUT].lower())], np.int32) for text in texts]
    halves = np.arange(len(texts)) % 2
    for half in (0, 1):
        model = _Trigrams([coded[at] for at in np.flatnonzero(halves != half)])
        for at in np.flatnonzero(halves == half).tolist():
            bits_N[at] = model.bits(coded[at])
    judged = np.array([len(text) >= SHORTEST for text in texts])
    middle, deviation = _robust(bits_N[judged]) if judged.any() else (0.0, 0.0)
    return bits_N, judged & (bits_N > middle + UNLIKELY * max(deviation, 0.1))


class _Trigrams:
    """Counts of three, two and one letters, mixed in fixed parts."""

    def __init__(self, rows: Sequence[npt.NDArray[np.int32]]) -> None:
        size = _ALPHABET
        self.threes, self.twos, self.ones = (np.zeros(size**n) for n in (3, 2, 1))
        for start in range(0, len(rows), 1000):
            some = rows[start : start + 1000]
            keys = [np.concatenate([part[n] for part in map(_keys, some)]) for n in range(3)]
            for counts, found in zip((self.ones, self.twos, self.threes), keys, strict=True):
                np.add.at(counts, found, 1)
        self.before_three = self.threes.reshape(-1, size).sum(axis=1)
        self.before_two = self.twos.reshape(-1, size).sum(axis=1)
        self.total = self.ones.sum()

    def bits(self, row: npt.NDArray[np.int32]) -> float:
        """The mean over the row's letters."""
        if len(row) < 3:
            return 0.0
        one, two, three = _keys(row)
        mixed = (
            0.6 * self.threes[three] / np.maximum(self.before_three[three // _ALPHABET], 1)
            + 0.3 * self.twos[two] / np.maximum(self.before_two[two // _ALPHABET], 1)
            + 0.09 * self.ones[one] / max(self.total, 1)
            + 0.01 / _ALPHABET
        )
        return float(-np.log2(mixed).mean())


def _keys(row: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], ...]:
    """One number for the letter, the two and the three letters that end at each place."""
    wide = row.astype(np.int64)
    two = wide[1:-1] * _ALPHABET + wide[2:]
    return wide[2:], two, wide[:-2] * _ALPHABET**2 + two


def _robust(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The median, and a deviation that outliers do not move: 1.4826 times the median distance from it."""
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))
