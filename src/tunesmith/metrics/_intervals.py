"""Confidence intervals: proportions by formula, anything else from resamples."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_NORMAL = NormalDist()


def wilson(successes: float, trials: int, confidence: float) -> tuple[float, float] | None:
    """The score interval of a proportion (Wilson 1927); None without trials."""
    if trials == 0:
        return None
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    share, spread = successes / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    # At the ends the formula gives 0 and 1 but for rounding.
    return (0.0 if successes == 0 else middle - half, 1.0 if successes == trials else middle + half)


def rows_to_part(share: float, bound: float, confidence: float) -> float:
    """How many rows Wilson's one-sided limit of `share` needs to reach `bound`."""
    z = _NORMAL.inv_cdf(confidence)
    return math.inf if share == bound else math.ceil(z * z * bound * (1 - bound) / (share - bound) ** 2)


def agreed_difference(won: int, lost: int, rows: int, confidence: float) -> tuple[float, float] | None:
    """The interval of a difference of two proportions of the same rows (Bonett and Price 2012).

    Args:
        won: rows right after and wrong before.
        lost: rows wrong after and right before.
        rows: all rows.
        confidence: for example 0.95.
    """
    if rows == 0:
        return None
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    up, down = (won + 1) / (rows + 2), (lost + 1) / (rows + 2)
    half = z * math.sqrt((up + down - (up - down) ** 2) / (rows + 2))
    return max(-1.0, up - down - half), min(1.0, up - down + half)


def mcnemar(won: int, lost: int) -> float:
    """The exact two-sided p-value of McNemar's test (1947) from the pairs that differ."""
    return min(1.0, 2 * float(binomial_at_most(0.5, won + lost)[min(won, lost)]))


def two_sided(differences: Floats) -> float | None:
    """The bootstrap p-value of no difference: twice the smaller share of resamples on the other side of 0.

    Where none lies there, resamples alone could not say less than two in their number, however far off 0 is, and
    nothing would be left of that once it is corrected for many; the tail is then a normal one.
    """
    differences = differences[np.isfinite(differences)]
    if len(differences) == 0:
        return None
    tail = int(min((differences <= 0).sum(), (differences >= 0).sum()))
    counted = min(1.0, 2 * (tail + 1) / (len(differences) + 1))
    spread = float(differences.std())
    if tail or not spread:
        return counted
    return min(counted, math.erfc(abs(float(differences.mean())) / spread / math.sqrt(2)))


def untouched(value: float, rows: int, lowest: float, highest: float, confidence: float) -> tuple[float, float] | None:
    """The interval where every one of `rows` has the best or the worst score there is."""
    if not math.isfinite(highest) or (limits := wilson(rows, rows, confidence)) is None:
        return None
    reach = (highest - lowest) * (1 - limits[0])
    return (highest - reach, highest) if value == highest else (lowest, lowest + reach)


def accelerated(value: float, drawn: Floats, left_out: Floats, confidence: float) -> tuple[float, float] | None:
    """The BCa bootstrap interval (Efron 1987), its tails those of Student's t, without which few rows look too sure
    (Hesterberg, The American Statistician 69, 2015, section 5.3).

    Args:
        value: over all rows.
        drawn: [R] over resamples; nan where one had nothing to measure.
        left_out: [N] over all rows but one.
        confidence: for example 0.95.
    """
    drawn, left_out = drawn[np.isfinite(drawn)], left_out[np.isfinite(left_out)]
    if not math.isfinite(value) or len(drawn) == 0 or len(left_out) < 2:
        return None
    # Ties count half: metrics of labels take few values.
    below = (float((drawn < value).sum()) + float((drawn == value).sum()) / 2) / len(drawn)
    bias = _NORMAL.inv_cdf(min(max(below, 0.5 / len(drawn)), 1 - 0.5 / len(drawn)))
    apart = left_out.mean() - left_out
    spread = float((apart**2).sum())
    skew = float((apart**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0

    reach = _student((1 + confidence) / 2, len(left_out))

    def at(far: float) -> float:
        moved = bias + far
        return _NORMAL.cdf(bias + moved / (1 - skew * moved))

    low, high = np.quantile(drawn, [at(-reach), at(reach)])
    return float(low), float(high)


@lru_cache
def _student(share: float, rows: int) -> float:
    """How many of a bootstrap's standard errors, which divide by the rows and not by one less, hold such a share."""
    from scipy.special import stdtrit  # takes as long to load as all of numpy

    return float(stdtrit(rows - 1, share)) * math.sqrt(rows / (rows - 1))


def binomial_at_most(share: float, trials: int) -> Floats:
    """[trials + 1]: the probability of at most k successes, for k = 0 .. trials."""
    counts = np.arange(trials + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    log_ways = log_factorials[-1] - log_factorials - log_factorials[::-1]
    return np.cumsum(np.exp(log_ways + counts * math.log(share) + (trials - counts) * math.log1p(-share)))


def quantile_ranks(share: float, rows: int, confidence: float) -> tuple[int | None, int | None]:
    """Which order statistics (1 is the smallest) bound a quantile with this confidence, whatever the distribution.

    None where the rows are too few: with 20 rows nothing bounds a 99th percentile from above.
    """
    if rows == 0:
        return None, None
    tail = (1 - confidence) / 2
    at_most = binomial_at_most(share, rows)
    # The quantile is at least the k-th value unless fewer than k values fall below it.
    low = int(np.searchsorted(at_most, tail, side="right"))
    high = int(np.searchsorted(at_most, 1 - tail, side="left")) + 1
    return (low if low >= 1 else None), (high if high <= rows else None)


def percentiles(drawn: Floats, confidence: float) -> tuple[float, float] | None:
    """The plain bootstrap percentile interval; None when nothing was drawn."""
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) == 0:
        return None
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
