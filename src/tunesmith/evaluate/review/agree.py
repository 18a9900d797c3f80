"""How far ratings of people and figures of a judge or metric agree, each coefficient with an interval.

Rows with the same two values count alike, so drawing N rows with replacement is drawing a multinomial over
their kinds, and every coefficient is a function of those counts. Rows that belong together are drawn together.

K kinds of rows, G groups of them, R resamples, U distinct values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BLOCK = 2**22
"""Numbers that are held at once while resamples are measured."""


@dataclass(frozen=True)
class Coefficient:
    """A coefficient with its interval; nan where one side never varies, so that there is nothing to follow."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class JudgeAgreement:
    """What a judge's figures are worth beside people's."""

    spearman: Coefficient
    """Of ranks: does the judge put answers in the same order? (Spearman 1904, ties share their mean rank)"""
    kendall: Coefficient
    """Of pairs: how much likelier is it that both prefer the same one of two answers? (Kendall's tau-b, 1945)"""
    kappa: Coefficient | None
    """Beyond chance, on one scale: Cohen's kappa with quadratic weights (1968); None where the scales differ."""
    rows: int
    """Rows that both have a figure for."""


def agreement(
    human: Sequence[float],
    judged: Sequence[float],
    *,
    same_scale: bool = False,
    groups: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> JudgeAgreement:
    """Holds a judge's figures against people's ratings of the same rows.

    Args:
        human: [N] ratings, nan where a row has none.
        judged: [N] figures of a judge or metric for the same rows, in the same order; nan where there is none.
        same_scale: both speak in the same values (1 to 5 and 1 to 5), so that kappa means something.
        groups: [N] which row goes with which, as answers to one question do; each by itself when left out.
        confidence: of the intervals, which are the bootstrap's percentiles.
        resamples: bootstrap samples.
        seed: draws them.
    """
    pairs = np.stack([np.asarray(human, np.float64), np.asarray(judged, np.float64)], axis=1)
    both = np.asarray(np.isfinite(pairs).all(axis=1))
    pairs = pairs[both]
    rows = len(pairs)
    if not rows:
        nothing = Coefficient(math.nan, math.nan, math.nan)
        return JudgeAgreement(nothing, nothing, nothing if same_scale else None, 0)
    kinds_K2, kind_N, count_K = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    random = np.random.default_rng(seed)
    if groups is None:
        drawn_RK = random.multinomial(rows, count_K / rows, size=resamples).astype(np.float64)
    else:
        holds_GK = _held([group for group, there in zip(groups, both, strict=True) if there], kind_N, len(count_K))
        num_groups = len(holds_GK)
        drawn_RK = random.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=resamples) @ holds_GK
    weights_RK = np.concatenate([count_K[None].astype(np.float64), drawn_RK])
    x_K, y_K = kinds_K2.T

    def coefficient(of: Callable[[Floats, Floats, Floats], Floats]) -> Coefficient:
        block = max(1, _BLOCK // len(count_K))
        found = np.concatenate([of(x_K, y_K, weights_RK[at : at + block]) for at in range(0, len(weights_RK), block)])
        own, around = float(found[0]), found[1:][np.isfinite(found[1:])]
        if not math.isfinite(own) or rows < 3:
            return Coefficient(own, math.nan, math.nan)
        low, high = np.quantile(around, [(1 - confidence) / 2, (1 + confidence) / 2])
        return Coefficient(own, float(low), float(high))

    return JudgeAgreement(
        coefficient(_spearman), coefficient(_kendall), coefficient(_kappa) if same_scale else None, rows
    )


def _held(groups: Sequence[Hashable], kind_N: NDArray[np.int64], num_kinds: int) -> Floats:
    """[G, K]: how many rows of each kind each group holds."""
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    holds = np.zeros((len(places), num_kinds))
    for group, kind in zip(groups, kind_N.ravel(), strict=True):
        holds[places[group], kind] += 1
    return holds


def _spearman(x_K: Floats, y_K: Floats, weights_RK: Floats) -> Floats:
    """[R]: the correlation of the ranks that the rows of each resample have."""
    ranks = [_ranks(values, weights_RK) for values in (x_K, y_K)]
    total_R1 = weights_RK.sum(axis=1, keepdims=True)
    one, other = (rank - (weights_RK * rank).sum(axis=1, keepdims=True) / total_R1 for rank in ranks)
    above = (weights_RK * one * other).sum(axis=1)
    return _ratio(above, np.sqrt((weights_RK * one**2).sum(axis=1) * (weights_RK * other**2).sum(axis=1)))


def _ranks(values_K: Floats, weights_RK: Floats) -> Floats:
    """[R, K]: the mean rank of each kind, every row counted as often as it was drawn."""
    distinct_U, place_K = np.unique(values_K, return_inverse=True)
    of_UK = (place_K[None] == np.arange(len(distinct_U))[:, None]).astype(np.float64)
    count_RU = weights_RK @ of_UK.T
    return np.asarray((np.cumsum(count_RU, axis=1) - count_RU / 2)[:, place_K])


def _kendall(x_K: Floats, y_K: Floats, weights_RK: Floats) -> Floats:
    """[R]: tau-b; pairs that either side leaves tied count in neither direction."""
    x_KK, y_KK = (np.sign(values[:, None] - values[None, :]) for values in (x_K, y_K))

    def pairs(signs_KK: Floats) -> Floats:
        return np.asarray(((weights_RK @ signs_KK) * weights_RK).sum(axis=1))

    return _ratio(pairs(x_KK * y_KK), np.sqrt(pairs(x_KK**2) * pairs(y_KK**2)))


def _kappa(x_K: Floats, y_K: Floats, weights_RK: Floats) -> Floats:
    """[R]: one less the squared distance within rows, in parts of that between rows taken at random."""
    total_R = weights_RK.sum(axis=1)
    mean_x, mean_y = weights_RK @ x_K / total_R, weights_RK @ y_K / total_R
    square_x, square_y = weights_RK @ x_K**2 / total_R, weights_RK @ y_K**2 / total_R
    within = weights_RK @ (x_K - y_K) ** 2 / total_R
    return 1 - _ratio(within, square_x + square_y - 2 * mean_x * mean_y)


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 1e-12), np.float64)
