"""How far a judge agrees with people who rated the same answers. N answers of G rows, R resamples."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 2000
FEWEST = 10
"""Rows below which nothing is said of agreement."""


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


def agreement(
    human: Sequence[float],
    judged: Sequence[float],
    rows: Sequence[Hashable] | None = None,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Agreement:
    """Holds a judge's values against those of people.

    Args:
        human: [N] values from 0 to 1.
        judged: [N] of the same answers.
        rows: [N] which row each answer is of; answers of one row are drawn together. Each its own when left out.
        confidence: of the two-sided bootstrap interval of kappa.
        seed: draws the resamples.
    """
    human_N, judged_N = np.asarray(human, np.float64), np.asarray(judged, np.float64)
    sums_GK = _sums(human_N, judged_N, rows)
    groups = len(sums_GK)
    if groups < FEWEST:
        return Agreement(len(human_N), None, None, None, None, None)
    drawn_RG = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=RESAMPLES)
    kappas = _kappa(drawn_RG @ sums_GK)
    kappas = kappas[np.isfinite(kappas)]
    low, high = np.quantile(kappas, [(1 - confidence) / 2, (1 + confidence) / 2]) if len(kappas) else (math.nan,) * 2
    if np.array_equal(human_N, judged_N):
        # No resample differs either; so many rows out of as many show no more than this (Wilson 1927).
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        low = min(low, groups / (groups + z * z))
    kappa, bias = float(_kappa(sums_GK.sum(axis=0))), float(judged_N.mean() - human_N.mean())
    found = (kappa, float(low), float(high), _spearman(human_N, judged_N), bias)
    return Agreement(len(human_N), *(value if math.isfinite(value) else None for value in found))


def _sums(human: Floats, judged: Floats, rows: Sequence[Hashable] | None) -> Floats:
    """[G, 5]: how many answers, both ratings, their squares, and how far they lie apart, squared."""
    each = np.stack([np.ones_like(human), human, judged, human**2 + judged**2, (human - judged) ** 2], axis=-1)
    if rows is None:
        return each
    places = {row: place for place, row in enumerate(dict.fromkeys(rows))}
    sums = np.zeros((len(places), each.shape[1]))
    np.add.at(sums, [places[row] for row in rows], each)
    return sums


def _kappa(sums: Floats) -> Floats:
    """[...] from sums [..., 5]; nan where all ratings are the same."""
    count, human, judged, squares, apart = np.moveaxis(sums, -1, 0)
    by_chance = squares / count - 2 * (human / count) * (judged / count)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(by_chance > 1e-9, 1 - apart / count / by_chance, np.nan))


def _spearman(human: Floats, judged: Floats) -> float:
    from scipy.stats import rankdata

    one, other = rankdata(human), rankdata(judged)
    spread = one.std() * other.std()
    return float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread > 0 else math.nan
