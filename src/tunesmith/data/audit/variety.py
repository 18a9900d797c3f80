"""How varied texts are. Figures that depend on how much text there is are taken at a fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

DISTINCT_WORDS, WINDOW = 10_000, 1_000
"""Words that distinct-n looks at, and those a type-token ratio is taken of."""
MOST_WINDOWS = 50


def variety(texts: Sequence[Sequence[str]], seed: int) -> dict[str, Any]:
    """Distinct-n (Li and others, arXiv 1510.03055) and the type-token ratio.

    Args:
        texts: the words of each row.
        seed: of the order in which rows are taken.

    Returns:
        words: how many distinct-n looked at, DISTINCT_WORDS where there are so many;
        distinct: {1, 2, 3}: different runs of n words over all such runs inside of rows;
        type_token: different words over words, the mean over stretches of WINDOW words; None of less;
        vocabulary: different words in all; once: how many of them stand once.
    """
    order = np.random.default_rng(seed).permutation(len(texts))
    rows = [texts[at] for at in order]
    taken: list[Sequence[str]] = []
    count = 0
    for row in rows:
        if count >= DISTINCT_WORDS:
            break
        taken.append(row[: DISTINCT_WORDS - count])
        count += len(taken[-1])
    counts: dict[str, int] = {}
    for row in rows:
        for word in row:
            counts[word] = counts.get(word, 0) + 1
    return {
        "words": count,
        "distinct": {str(n): distinct(taken, n) for n in (1, 2, 3)},
        "type_token": type_token(rows),
        "vocabulary": len(counts),
        "once": sum(number == 1 for number in counts.values()),
    }


def distinct(rows: Sequence[Sequence[str]], n: int) -> float | None:
    """Different runs of n words over all of them; None where there is none."""
    found = [tuple(row[at : at + n]) for row in rows for at in range(len(row) - n + 1)]
    return len(set(found)) / len(found) if found else None


def type_token(rows: Sequence[Sequence[str]]) -> float | None:
    """Different words over words, the mean over stretches of WINDOW words, one after the other."""
    ratios: list[float] = []
    window: list[str] = []
    for row in rows:
        window.extend(row)
        while len(window) >= WINDOW and len(ratios) < MOST_WINDOWS:
            ratios.append(len(set(window[:WINDOW])) / WINDOW)
            window = window[WINDOW:]
        if len(ratios) == MOST_WINDOWS:
            break
    return float(np.mean(ratios)) if ratios else None
