"""How far annotators agree beyond chance, each figure with an interval from resampling items.

Items with the same votes count alike, so drawing N items with replacement is drawing a multinomial over their kinds,
and every figure is a function of those counts: no item is touched in the bootstrap.

P kinds of items, C labels, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunesmith.data.methods.votes.table import Floats, Ints, Votes, tally

Level = Literal["nominal", "ordinal", "interval", "ratio"]

RESAMPLES = 1000
_DRAWN = 2**26
"""The most numbers that are drawn for one interval; of very many kinds of items fewer resamples are taken."""
_FEWEST = 200


@dataclass(frozen=True)
class Agreement:
    """A measure of agreement."""

    value: float
    """nan where there is nothing to measure, or where only one label was ever said, so that chance cannot be told."""
    low: float
    high: float
    items: int
    """Items it rests on."""


def percent_agreement(votes: Votes, *, confidence: float = 0.95, seed: int = 0) -> Agreement:
    """Of two votes on one item, how often they are equal; the mean over items with at least two votes."""
    counts_PC, count_P = _several(votes)
    agree_P = _agreeing_pairs(counts_PC)
    return _bootstrap(count_P, lambda w_RP: _ratio(w_RP @ agree_P, w_RP.sum(1)), confidence, seed)


def fleiss_kappa(votes: Votes, *, confidence: float = 0.95, seed: int = 0) -> Agreement:
    """Fleiss' kappa (Psychological Bulletin 76, 1971), which takes items with one number of votes alone: those with
    the commonest number above one. `items` says how many these are."""
    counts_PC, count_P = _several(votes)
    sizes_P = counts_PC.sum(1)
    if len(sizes_P):
        numbers, place_P = np.unique(sizes_P, return_inverse=True)
        commonest = numbers[tally(place_P, count_P, len(numbers)).argmax()]
        counts_PC, count_P = counts_PC[sizes_P == commonest], count_P[sizes_P == commonest]
    agree_P = _agreeing_pairs(counts_PC)

    def value(w_RP: Floats) -> Floats:
        said_RC = w_RP @ counts_PC
        share_RC = _ratio(said_RC, said_RC.sum(1, keepdims=True))
        chance_R = (share_RC**2).sum(1)
        return _ratio(_ratio(w_RP @ agree_P, w_RP.sum(1)) - chance_R, 1 - chance_R)

    return _bootstrap(count_P, value, confidence, seed)


def cohen_kappa(votes: Votes, one: str, other: str, *, confidence: float = 0.95, seed: int = 0) -> Agreement:
    """Cohen's kappa (Educational and Psychological Measurement 20, 1960) of two annotators, on the items of both."""
    size = len(votes.labels)
    said = [_said_by(votes, votes.annotators.index(name)) for name in (one, other)]
    both_P = (said[0] >= 0) & (said[1] >= 0)
    cells_P = said[0][both_P] * size + said[1][both_P]
    table_CC = tally(cells_P, votes.count_P[both_P], size * size)
    kinds = np.flatnonzero(table_CC)
    first_PC, second_PC = np.eye(size)[kinds // size], np.eye(size)[kinds % size]
    equal_P = (kinds // size == kinds % size).astype(np.float64)

    def value(w_RP: Floats) -> Floats:
        total_R = w_RP.sum(1)
        chance_R = _ratio(((w_RP @ first_PC) * (w_RP @ second_PC)).sum(1), total_R**2)
        return _ratio(_ratio(w_RP @ equal_P, total_R) - chance_R, 1 - chance_R)

    return _bootstrap(table_CC[kinds], value, confidence, seed)


def krippendorff_alpha(
    votes: Votes,
    level: Level = "nominal",
    *,
    order: Sequence[str] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Agreement:
    """Krippendorff's alpha (Computing Krippendorff's Alpha-Reliability, 2011): any number of annotators, of whom any
    may be silent; items with one vote say nothing.

    Args:
        level: how far two labels are apart: different or not; by how many votes lie between them; by their difference;
            by their difference beside their sum.
        order: the labels from low to high, for `ordinal`; left out, labels are numbers.

    Raises:
        ValueError: labels are neither ordered nor numbers and the level needs it.
    """
    counts_PC, count_P = _several(votes)
    numbers_C = np.arange(len(votes.labels), dtype=np.float64)
    if level != "nominal":
        numbers_C = np.array([float(order.index(label) if order else label) for label in votes.labels])
        counts_PC, numbers_C = counts_PC[:, np.argsort(numbers_C)], np.sort(numbers_C)
    sizes_P = counts_PC.sum(1)

    def value(w_RP: Floats) -> Floats:
        said_RC = w_RP @ counts_PC
        total_R = said_RC.sum(1)
        if level == "nominal":
            observed_P = (sizes_P**2 - (counts_PC**2).sum(1)) / (sizes_P - 1)
            return 1 - _ratio((total_R - 1) * (w_RP @ observed_P), total_R**2 - (said_RC**2).sum(1))
        if level == "ordinal":
            return np.array([_ordinal(w_P, counts_PC, sizes_P) for w_P in w_RP])
        apart_CC = _apart(numbers_C, level)
        observed_P = np.einsum("pc,pk,ck->p", counts_PC, counts_PC, apart_CC) / (sizes_P - 1)
        expected_R = np.einsum("rc,rk,ck->r", said_RC, said_RC, apart_CC)
        return 1 - _ratio((total_R - 1) * (w_RP @ observed_P), expected_R)

    return _bootstrap(count_P, value, confidence, seed)


def _apart(numbers_C: Floats, level: Level) -> Floats:
    difference_CC = (numbers_C[:, None] - numbers_C[None, :]) ** 2
    if level == "interval":
        return difference_CC
    sum_CC = (numbers_C[:, None] + numbers_C[None, :]) ** 2
    return np.divide(difference_CC, sum_CC, out=np.zeros_like(difference_CC), where=sum_CC != 0)


def _ordinal(weight_P: Floats, counts_PC: Floats, sizes_P: Floats) -> float:
    """Alpha where labels are ranks; how far two are apart depends on how often those between were said."""
    said_C = weight_P @ counts_PC
    upto_C = np.cumsum(said_C) - said_C / 2
    apart_CC = (upto_C[:, None] - upto_C[None, :]) ** 2
    together_CC = (counts_PC * (weight_P / (sizes_P - 1))[:, None]).T @ counts_PC
    expected = said_C @ apart_CC @ said_C
    return float(1 - _ratio((said_C.sum() - 1) * (together_CC * apart_CC).sum(), expected))


def _several(votes: Votes) -> tuple[Floats, Floats]:
    """Label counts of kinds of items with at least two votes, whoever voted, and how many items are of each."""
    counts_PC = votes.counts_PC
    several_P = (counts_PC.sum(1) > 1) & (votes.count_P > 0)
    kinds_PC, place_P = np.unique(counts_PC[several_P], axis=0, return_inverse=True)
    return kinds_PC, tally(place_P.ravel(), votes.count_P[several_P], len(kinds_PC))


def _agreeing_pairs(counts_PC: Floats) -> Floats:
    sizes_P = counts_PC.sum(1)
    return np.asarray(((counts_PC**2).sum(1) - sizes_P) / (sizes_P * (sizes_P - 1)))


def _said_by(votes: Votes, annotator: int) -> Ints:
    """What one annotator called each pattern; -1 where silent."""
    said_P = np.full(votes.num_patterns, -1, np.int64)
    own_V = votes.annotator_V == annotator
    said_P[votes.of_V[own_V]] = votes.label_V[own_V]
    return said_P


def _bootstrap(count_P: Floats, value: Callable[[Floats], Floats], confidence: float, seed: int) -> Agreement:
    """The value of the items as they are, and a percentile interval of that of resampled ones."""
    items = int(count_P.sum())
    if not items:
        return Agreement(np.nan, np.nan, np.nan, 0)
    own = float(value(count_P[None])[0])
    resamples = int(np.clip(_DRAWN // len(count_P), _FEWEST, RESAMPLES))
    generator = np.random.default_rng(seed)
    block = max(1, 2**22 // len(count_P))
    found: list[Floats] = []
    for start in range(0, resamples, block):
        drawn_RP = generator.multinomial(items, count_P / items, size=min(block, resamples - start))
        found.append(value(drawn_RP.astype(np.float64)))
    values_R = np.concatenate(found)
    values_R = values_R[np.isfinite(values_R)]  # a resample may hold one label only
    if not np.isfinite(own) or not len(values_R):
        return Agreement(own, np.nan, np.nan, items)
    outside = (1 - confidence) / 2
    low, high = np.quantile(values_R, [outside, 1 - outside])
    return Agreement(own, float(low), float(high), items)


def _ratio(above: Floats | float, below: Floats | float) -> Floats:
    """The quotient; nan where nothing stands below."""
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    fine = np.abs(below) > 1e-12
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=fine))
