"""How well a score tells two kinds of rows apart: the area under the ROC curve, and hits at a share of false alarms.

Statistics of a row are [is one, is another, score]; rows of neither kind are zeros. The larger the score, the likelier
a row is called one. N rows, R resamples.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from tunesmith.metrics import Floats, ratio
from tunesmith.metrics._intervals import quantile_ranks, wilson

_NORMAL = NormalDist()
_STEPS = 60
"""Halvings until the end of an interval is found."""


def statistics_of(ones: Floats, scores: Floats) -> Floats:
    """[N, 3] of rows.

    Args:
        ones: [N] 1 where a row is one, 0 where it is another, nan where it is neither.
        scores: [N]; nan where a row has none, which then counts as neither.
    """
    known = np.isfinite(ones) & np.isfinite(scores)
    one = known & (ones == 1)
    return np.stack([one, known & ~one, np.where(known, scores, 0.0)], axis=-1).astype(np.float64)


def counts(statistics: Floats) -> tuple[int, int]:
    """How many are ones, and how many others."""
    return int(statistics[:, 0].sum()), int(statistics[:, 1].sum())


def auc(statistics: Floats, weights: Floats) -> Floats:
    """[R]: how often one has a larger score than another; ties count half. nan where either kind is missing.

    Args:
        statistics: [N, 3].
        weights: [R, N], how often each row counts.
    """
    ones_RN, others_RN, at_least_RN, tied_RN = _ranked(statistics, weights)
    others_R1 = others_RN.sum(axis=1, keepdims=True)
    won_R = (ones_RN * (others_R1 - at_least_RN + tied_RN / 2)).sum(axis=1)
    return ratio(won_R, ones_RN.sum(axis=1) * others_R1[:, 0])


def hits(statistics: Floats, weights: Floats, false_alarms: float) -> Floats:
    """[R]: the share of ones above a threshold that at most this share of others lies above."""
    ones_RN, others_RN, at_least_RN, _ = _ranked(statistics, weights)
    # The slack undoes rounding of, say, 0.01 * 300.
    allowed_R1 = np.floor(false_alarms * others_RN.sum(axis=1, keepdims=True) + 1e-9)
    found_R = (ones_RN * (at_least_RN <= allowed_R1)).sum(axis=1)
    return np.where(others_RN.sum(axis=1) > 0, ratio(found_R, ones_RN.sum(axis=1)), np.nan)


def placements(statistics: Floats) -> Floats:
    """[N]: the share of the other kind that a row stands on the right side of; their mean over a kind is the area."""
    num_ones, num_others = counts(statistics)
    placed = np.full(len(statistics), np.nan)
    if not (num_ones and num_others):
        return placed
    for kind, other, sign in ((0, 1, 1.0), (1, 0, -1.0)):
        mine, theirs = statistics[:, kind] > 0, statistics[:, other] > 0
        against = np.sort(sign * statistics[theirs, 2])
        scores = sign * statistics[mine, 2]
        below = np.searchsorted(against, scores, side="left") + np.searchsorted(against, scores, side="right")
        placed[mine] = below / 2 / len(against)
    return placed


def _ranked(statistics: Floats, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights [R, N] of ones and of others, largest score first, with the others at least as large and those tied."""
    order = np.argsort(-statistics[:, 2], kind="stable")
    scores = statistics[order, 2]
    ones_RN, others_RN = (weights[:, order] * statistics[order, kind] for kind in (0, 1))
    upto_RN = np.cumsum(others_RN, axis=1)
    last = np.searchsorted(-scores, -scores, side="right") - 1
    first = np.searchsorted(-scores, -scores, side="left")
    at_least_RN = upto_RN[:, last] if len(order) else upto_RN
    above_RN = np.where(first > 0, upto_RN[:, first - 1], 0.0) if len(order) else upto_RN
    return ones_RN, others_RN, at_least_RN, at_least_RN - above_RN


# How far they may be off -----------------------------------------------------------------------


def auc_interval(value: float, num_ones: int, num_others: int, confidence: float) -> tuple[float, float] | None:
    """The interval of an area, honest at 0 and 1 (method 5 of Newcombe, Statistics in Medicine 25, 2006).

    It holds the areas from which the value is at most z standard errors away, each with its own (Hanley and McNeil
    1982), which at one half is exactly that of the Mann-Whitney test.
    """
    if not (num_ones and num_others):
        return None
    z = _NORMAL.inv_cdf((1 + confidence) / 2)

    def end(far: float) -> float:
        inside, outside = value, far
        for _ in range(_STEPS):
            middle = (inside + outside) / 2
            near = abs(value - middle) <= z * _error(middle, num_ones, num_others)
            inside, outside = (middle, outside) if near else (inside, middle)
        return inside

    return end(0.0), end(1.0)


def _error(area: float, num_ones: int, num_others: int) -> float:
    """The standard error of an area of this size."""
    pairs, mean = num_ones * num_others, (num_ones + num_others) / 2
    spread = 1 + (mean - 1) * ((1 - area) / (2 - area) + area / (1 + area))
    return math.sqrt(max(area * (1 - area) * spread / pairs, 0.0))


def auc_bound(num_ones: int, num_others: int, level: float) -> float:
    """What the area of a score that knows nothing exceeds with a chance of at most `level` (Mann and Whitney 1947)."""
    z = _NORMAL.inv_cdf(1 - level)
    return min(1.0, 0.5 + z * _error(0.5, num_ones, num_others) + 0.5 / (num_ones * num_others))


def detectable_auc(num_ones: int, num_others: int, level: float, power: float = 0.8) -> float:
    """The area that would exceed `auc_bound` with a chance of `power`; 1 where none would."""
    bound = auc_bound(num_ones, num_others, level)
    return min(1.0, bound + _NORMAL.inv_cdf(power) * _error(bound, num_ones, num_others))


def hits_interval(statistics: Floats, false_alarms: float, confidence: float) -> tuple[float, float] | None:
    """The interval of `hits`, whatever the scores' distribution: both the threshold and the share above it are unsure.

    Half of the doubt goes to where the threshold lies among the others (order statistics), half to the share of ones
    above it (Wilson). With few others the threshold is anywhere above the largest of them, and the lower end is 0.
    """
    num_ones, num_others = counts(statistics)
    if not (num_ones and num_others):
        return None
    each = (1 + confidence) / 2
    others = np.sort(statistics[statistics[:, 1] > 0, 2])
    ones = statistics[statistics[:, 0] > 0, 2]
    low, high = quantile_ranks(1 - false_alarms, num_others, each)
    least = 0.0 if high is None else _wilson(int((ones > others[high - 1]).sum()), num_ones, each)[0]
    most = 1.0 if low is None else _wilson(int((ones > others[low - 1]).sum()), num_ones, each)[1]
    return least, most


def _wilson(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    limits = wilson(successes, trials, confidence)
    assert limits is not None, "there are trials"
    return limits


def hits_bound(num_ones: int, num_others: int, false_alarms: float, level: float) -> float:
    """What `hits` of a score that knows nothing exceed with a chance of at most `level`, exactly.

    Drawn from the largest score down, ones come before the first of too many others as in an urn (negative
    hypergeometric).
    """
    from scipy.special import gammaln

    def log_ways(chosen: Floats, of: Floats) -> Floats:
        ways: Floats = gammaln(of + 1) - gammaln(chosen + 1) - gammaln(of - chosen + 1)
        return ways

    before = np.arange(num_ones + 1, dtype=np.float64)
    allowed = math.floor(false_alarms * num_others + 1e-9)
    behind = num_ones - before
    logs = log_ways(before, before + allowed) + log_ways(behind, behind + num_others - allowed - 1)
    at_most = np.cumsum(np.exp(logs - log_ways(*np.array([[num_ones], [num_ones + num_others]], np.float64))))
    return float(np.searchsorted(at_most, 1 - level)) / num_ones
