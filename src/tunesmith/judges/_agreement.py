"""How far a judge agrees with people who rated the same answers. N answers, R resamples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 2000
FEWEST = 10
"""Answers below which nothing is said of agreement."""


@dataclass(frozen=True)
class Agreement:
    """A judge against people on the same answers."""

    num_rows: int
    """Answers that both rated."""
    kappa: float | None
    """Cohen's kappa with quadratic weights (1968); None where nobody's ratings differ, or the answers are too few.

    It falls when the judge orders answers otherwise, and also when it is kinder or harsher, which a correlation
    does not see.
    """
    low: float | None
    """The lower end of its interval."""
    high: float | None
    spearman: float | None
    """Spearman's rank correlation."""
    bias: float | None
    """The judge's mean less that of people."""


def agreement(human: Sequence[float], judged: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Agreement:
    """Holds a judge's values against those of people.

    Args:
        human: [N] values from 0 to 1.
        judged: [N] of the same answers.
        confidence: of the two-sided bootstrap interval of kappa.
        seed: draws the resamples.
    """
    human_N, judged_N = np.asarray(human, np.float64), np.asarray(judged, np.float64)
    rows = len(human_N)
    if rows < FEWEST:
        return Agreement(rows, None, None, None, None, None)
    kappa = float(_kappa(human_N, judged_N))
    drawn = np.random.default_rng(seed).integers(0, rows, size=(RESAMPLES, rows))
    kappas = _kappa(human_N[drawn], judged_N[drawn])
    kappas = kappas[np.isfinite(kappas)]
    low, high = np.quantile(kappas, [(1 - confidence) / 2, (1 + confidence) / 2]) if len(kappas) else (math.nan,) * 2
    if np.array_equal(human_N, judged_N):
        # No resample differs either; so many rows out of as many show no more than this (Wilson 1927).
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        low = min(low, rows / (rows + z * z))
    found = (kappa, float(low), float(high), _spearman(human_N, judged_N), float(judged_N.mean() - human_N.mean()))
    return Agreement(rows, *(value if math.isfinite(value) else None for value in found))


def _kappa(human: Floats, judged: Floats) -> Floats:
    """Over the last axis; nan where all ratings are the same."""
    apart = ((human - judged) ** 2).mean(-1)
    by_chance = human.var(-1) + judged.var(-1) + (human.mean(-1) - judged.mean(-1)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(by_chance > 1e-12, 1 - apart / by_chance, np.nan))


def _spearman(human: Floats, judged: Floats) -> float:
    from scipy.stats import rankdata

    one, other = rankdata(human), rankdata(judged)
    spread = one.std() * other.std()
    return float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread > 0 else math.nan
