"""Slices that were found: how the last arm fares in each, against all other rows and against the other arms.

A slice is called worse than elsewhere, or worse than another arm, where the interval of the difference leaves zero out
and its p-value stays below the level when it is taken for one of all that were looked at (Holm). Under noise alone some
slice is called worse in at most 5 of 100 evaluations (at a confidence of 0.95), which a simulation tests.

Two shares of different rows are held against each other by Fisher's exact test (1922) and Newcombe's hybrid score
interval (Statistics in Medicine 17, 1998, method 10); any other metric by the jackknife's standard errors (Tukey 1958)
and Welch's t (Biometrika 34, 1947). No resample is drawn, so that many slices of many rows take no time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.evaluate.comparison import Difference, Estimate, Found, FoundSlice, closed, finite
from tunesmith.evaluate.mistakes.kinds import Groups, Kind, kinds_of
from tunesmith.evaluate.statistics.significance import family, meaning
from tunesmith.metrics import Proportion
from tunesmith.metrics._intervals import wilson
from tunesmith.records import Prediction, Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tunesmith.metrics import Floats, Metric

    Ints = NDArray[np.int64]

FEWEST = 30
"""Rows with a score that a slice needs, and that must be left outside of it."""
MOST = 20
"""Slices of one kind, the largest first."""


def discover(
    arms: Mapping[str, Sequence[Prediction]],
    metric: Metric,
    statistics: Mapping[str, Floats],
    *,
    kinds: Sequence[Kind],
    trained: Sequence[Record] = (),
    confidence: float = 0.95,
    seed: int = 0,
) -> Found | None:
    """Breaks a metric down by kinds of rows that no column names; None where there is nothing to break down.

    Args:
        arms: arm -> its predictions, aligned.
        metric: what is broken down.
        statistics: arm -> [N, K] of it.
        kinds: by what.
        trained: the rows that were trained on.
        confidence: of the intervals, and of what is called worse.
        seed: draws topics.
    """
    rows = [row.record for row in next(iter(arms.values()))]
    if not kinds or not rows or "seconds" in metric.needs:
        return None
    return weighed(metric, statistics, kinds_of(rows, trained, seed, kinds), confidence)


def weighed(metric: Metric, statistics: Mapping[str, Floats], kinds: Mapping[str, Groups], confidence: float) -> Found:
    """Every slice that has rows enough, those that are surely worse first, then by value."""
    *others, last = statistics
    num_rows = len(statistics[last])
    scored = np.isfinite(metric.per_row(statistics[last]))
    found, left_out = [], 0
    for kind, groups in kinds.items():
        largest = sorted(groups.items(), key=lambda entry: -len(entry[1]))
        for place, (name, chosen) in enumerate(largest):
            inside = np.zeros(num_rows, bool)
            inside[chosen] = True
            if place >= MOST or min((inside & scored).sum(), (~inside & scored).sum()) < FEWEST:
                left_out += 1
                continue
            values = {arm: _estimate(metric, rows[inside], confidence) for arm, rows in statistics.items()}
            paired = {
                arm: _paired(metric, statistics[last][inside], statistics[arm][inside], confidence) for arm in others
            }
            apart = _apart(metric, statistics[last][inside], statistics[last][~inside], confidence)
            found.append(FoundSlice(kind, name, len(chosen), False, values, paired, apart))
    apart_ = family([each.apart for each in found])
    paired_ = family([difference for each in found for difference in each.differences.values()])
    corrected = [
        replace(each, apart=next(apart_), differences={arm: next(paired_) for arm in each.differences})
        for each in found
    ]
    sign = 1 if metric.better == "higher" else -1

    def rank(each: FoundSlice) -> tuple[bool, float]:
        value = each.arms[last].value
        return meaning(each.apart, metric.better, confidence) != "worse", sign * (math.inf if value is None else value)

    return Found(metric.name, sorted(corrected, key=rank), left_out)


def _estimate(metric: Metric, statistics: Floats, confidence: float) -> Estimate:
    num_rows = int(np.isfinite(metric.per_row(statistics)).sum())
    value = metric.whole(statistics)
    if isinstance(metric, Proportion):
        return Estimate(finite(value), closed(metric.interval(statistics, np.empty(0), confidence)), num_rows)
    error, rows = _error(metric.left_out(statistics))
    reach = _reach(error, rows - 1, confidence)
    ends = (max(metric.lowest, value - reach), min(metric.highest, value + reach))
    return Estimate(finite(value), closed(ends) if math.isfinite(reach) else None, num_rows)


def _paired(metric: Metric, after: Floats, before: Floats, confidence: float) -> Difference:
    """The same rows, two arms."""
    value = metric.whole(after) - metric.whole(before)
    if isinstance(metric, Proportion):
        nothing = np.empty(0)
        interval = metric.difference(after, before, nothing, confidence)
        return Difference(finite(value), closed(interval), metric.p_value(after, before, nothing), len(after))
    error, rows = _error(metric.left_out(after) - metric.left_out(before))
    return _by_student(value, error, rows - 1, rows, confidence)


def _apart(metric: Metric, inside: Floats, outside: Floats, confidence: float) -> Difference:
    """One arm, different rows."""
    value = metric.whole(inside) - metric.whole(outside)
    if isinstance(metric, Proportion):
        interval, p_value = _two_shares(inside[:, 0], outside[:, 0], confidence)
        return Difference(finite(value), interval, p_value, len(inside))
    (one, rows), (other, others) = _error(metric.left_out(inside)), _error(metric.left_out(outside))
    total = one**2 + other**2
    freedom = total**2 / (one**4 / (rows - 1) + other**4 / (others - 1)) if total > 0 else math.inf
    return _by_student(value, math.sqrt(total), freedom, rows, confidence)


def _two_shares(inside: Floats, outside: Floats, confidence: float) -> tuple[tuple[float, float] | None, float]:
    (hits, rows), (other_hits, others) = (int(inside.sum()), len(inside)), (int(outside.sum()), len(outside))
    mine, theirs = wilson(hits, rows, confidence), wilson(other_hits, others, confidence)
    assert mine is not None and theirs is not None, "both sides have rows"
    share, other = hits / rows, other_hits / others
    below = math.hypot(share - mine[0], theirs[1] - other)
    above = math.hypot(mine[1] - share, other - theirs[0])
    return (share - other - below, share - other + above), _fisher(hits, rows, other_hits, others)


def _fisher(hits: int, rows: int, other_hits: int, others: int) -> float:
    """The two-sided p-value of Fisher's exact test: of all tables with these sums, those no likelier than this one."""
    from scipy.special import gammaln

    total = hits + other_hits
    first = max(0, total - others)
    here = np.arange(first, min(rows, total) + 1)

    def ways(of: int, taken: Ints) -> Floats:
        """The logarithm of in how many ways."""
        found: Floats = gammaln(of + 1) - gammaln(taken + 1) - gammaln(of - taken + 1)
        return found

    likely = ways(rows, here) + ways(others, total - here)
    likely = np.exp(likely - likely.max())
    return min(1.0, float(likely[likely <= likely[hits - first] * (1 + 1e-7)].sum() / likely.sum()))


def _error(left_out: Floats) -> tuple[float, int]:
    """The jackknife's standard error from the values without each row in turn, and how many there are."""
    known = left_out[np.isfinite(left_out)]
    count = len(known)
    return math.sqrt((count - 1) / count * ((known - known.mean()) ** 2).sum()) if count > 1 else math.nan, count


def _by_student(value: float, error: float, freedom: float, rows: int, confidence: float) -> Difference:
    from scipy.special import stdtr

    reach = _reach(error, freedom, confidence)
    if not (math.isfinite(value) and math.isfinite(reach)):
        return Difference(finite(value), None, None, rows)
    if error == 0:
        return Difference(value, (value, value), 1.0 if value == 0 else 0.0, rows)
    p_value = min(1.0, 2 * float(stdtr(freedom, -abs(value) / error)))
    return Difference(value, (value - reach, value + reach), p_value, rows)


def _reach(error: float, freedom: float, confidence: float) -> float:
    from scipy.special import stdtrit

    return 0.0 if error == 0 else float(stdtrit(min(freedom, 1e9), (1 + confidence) / 2)) * error
