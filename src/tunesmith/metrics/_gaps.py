"""How far rates of independent groups are apart, with limits that hold for small groups too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

from tunesmith.metrics._intervals import wilson

Rate = tuple[float, int]
"""Successes and trials."""
Limits = tuple[float, float]


def difference(one: Rate, other: Rate, confidence: float) -> Limits:
    """The interval of the difference of two independent proportions, by those of each (Newcombe 1998, method 10).

    Args:
        one, other: with trials.
        confidence: for example 0.95.
    """
    p, q = one[0] / one[1], other[0] / other[1]
    (low_p, high_p), (low_q, high_q) = _wilson(one, confidence), _wilson(other, confidence)
    return (
        p - q - math.hypot(p - low_p, high_q - q),
        p - q + math.hypot(high_p - p, q - low_q),
    )


def quotient(one: Rate, other: Rate, confidence: float) -> Limits:
    """The interval of the ratio of two independent proportions, by those of each (Donner and Zou 2012); the upper end
    is infinite where the other may be 0."""
    p, q = one[0] / one[1], other[0] / other[1]
    (low_p, high_p), (low_q, high_q) = _wilson(one, confidence), _wilson(other, confidence)

    def end(mine: float, theirs: float, sign: int) -> float:
        # A root that rounding has made negative is 0.
        root = math.sqrt(max(0.0, (p * q) ** 2 - mine * theirs * (2 * p - mine) * (2 * q - theirs)))
        below = theirs * (2 * q - theirs)
        return (p * q + sign * root) / below if below > 0 else math.inf

    low, high = end(low_p, high_q, -1), end(high_p, low_q, 1)
    return (0.0 if not math.isfinite(low) else max(0.0, low), high)


def largest_difference(rates: list[list[Rate]], confidence: float) -> Limits | None:
    """The interval of the largest difference between two groups in any of several rates.

    Its upper end needs no correction: whichever pair is truly furthest apart has an end above that is as high as this
    or lower. Its lower end is that of the clearest pair, among all pairs (Bonferroni).

    Args:
        rates: for each rate those of the groups; groups without trials left out.
        confidence: of both ends together.
    """
    pairs = list(_pairs(rates))
    if not pairs:
        return None
    low, high = 0.0, 0.0
    for one, other in pairs:
        least, _ = _ordered(one, other, _shared(confidence, len(pairs)))
        _, most = _ordered(one, other, confidence)
        low, high = max(low, least), max(high, most)
    return low, min(1.0, high)


def smallest_ratio(rates: list[list[Rate]], confidence: float) -> Limits | None:
    """The interval of the smallest ratio of one group's rate to another's, in any of several rates.

    Args:
        rates, confidence: as in `largest_difference`, whose reasoning holds with the ends exchanged.
    """
    pairs = [(one, other) for pair in _pairs(rates) for one, other in (pair, pair[::-1]) if one[0] or other[0]]
    if not pairs:
        return None
    low, high = 1.0, 1.0
    for one, other in pairs:
        low = min(low, quotient(one, other, confidence)[0])
        high = min(high, quotient(one, other, _shared(confidence, len(pairs)))[1])
    return low, high


def _ordered(one: Rate, other: Rate, confidence: float) -> Limits:
    """The interval of the size of a difference, whichever of the two is larger."""
    low, high = difference(one, other, confidence)
    return max(0.0, low, -high), max(abs(low), abs(high))


def _shared(confidence: float, count: int) -> float:
    return 1 - (1 - confidence) / count


def _pairs(rates: list[list[Rate]]) -> Iterator[tuple[Rate, Rate]]:
    for groups in rates:
        yield from combinations(groups, 2)


def _wilson(rate: Rate, confidence: float) -> Limits:
    found = wilson(rate[0], rate[1], confidence)
    assert found is not None, "a rate has trials"
    return found
