"""Two independent groups: are their means apart? For groups that may be small, and rates that may be near 0 or 1."""

from __future__ import annotations

import math

import numpy as np

from tunesmith.metrics import Floats
from tunesmith.metrics._gaps import difference
from tunesmith.metrics._intervals import wilson


def fisher(hits: int, rows: int, other_hits: int, other_rows: int) -> float:
    """The exact two-sided p-value of two proportions being one (Fisher 1922): never too small, however few the rows.

    Args:
        hits, rows: of one group; `other_hits`, `other_rows`: of the other.
    """
    from scipy.special import gammaln

    total = hits + other_hits
    ways = np.arange(max(0, total - other_rows), min(rows, total) + 1)
    # Of each way to share the hits out, the logarithm of its chance, up to what all have in common.
    logs = -gammaln(np.stack([ways, rows - ways, total - ways, other_rows - total + ways]) + 1).sum(axis=0)
    chances = np.exp(logs - logs.max())
    seen = chances[hits - ways[0]]
    return min(1.0, float(chances[chances <= seen * (1 + 1e-7)].sum() / chances.sum()))


def proportions(one: Floats, other: Floats, confidence: float) -> tuple[tuple[float, float], float]:
    """The interval of the difference of two groups' shares, and its p-value.

    Args:
        one, other: [N] of 0 and 1.
    """
    counts = (int(one.sum()), len(one)), (int(other.sum()), len(other))
    return difference(counts[0], counts[1], confidence), fisher(*counts[0], *counts[1])


def means(
    one: Floats, other: Floats, confidence: float, least: tuple[float, float] = (0.0, 0.0)
) -> tuple[tuple[float, float], float]:
    """The interval of the difference of two groups' means, and its p-value, by Welch's t (1947).

    Args:
        one, other: [N].
        least: variances that a group has at the least. A group in which a rare thing never happened looks surer than
            it is.
    """
    from scipy.special import stdtr, stdtrit

    parts = [max(float(each.var(ddof=1)), floor) / len(each) for each, floor in zip((one, other), least, strict=True)]
    apart, error = float(one.mean() - other.mean()), math.sqrt(sum(parts))
    if error == 0:
        return (apart, apart), 1.0 if apart == 0 else 0.0
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(each) - 1) for part, each in zip(parts, (one, other), strict=True) if part
    )
    reach = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    return (apart - reach, apart + reach), min(1.0, 2 * float(stdtr(freedom, -abs(apart) / error)))


def mean_interval(values: Floats, confidence: float, least: float = 0.0) -> tuple[float, float] | None:
    """The interval of a mean: Wilson's of 0 and 1, Student's of other numbers; None where there are too few.

    Args:
        values: [N].
        least: the variance it has at the least.
    """
    from scipy.special import stdtrit

    if binary(values):
        return wilson(float(values.sum()), len(values), confidence)
    if len(values) < 2:
        return None
    reach = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * math.sqrt(
        max(float(values.var(ddof=1)), least) / len(values)
    )
    mean = float(values.mean())
    return mean - reach, mean + reach


def binary(values: Floats) -> bool:
    """Whether all values are 0 or 1."""
    return bool(np.isin(values, (0.0, 1.0)).all())
