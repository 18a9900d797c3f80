"""Figures of several models: the mean of folds or seeds, and how far it may be off.

Of folds, the interval is Student's over them, and never narrower than that of the rows. Folds share most of what they
learn from, so the first alone is too narrow (Bengio and Grandvalet, JMLR 5, 2004); widened for that as Nadeau and
Bengio do (Machine Learning 52, 2003) it holds 96 to 99% of the time at 95%, the wider of the two 93 to 98%
(docs/log.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tunesmith.metrics import Metric
    from tunesmith.records import Prediction


def fold_values(metric: Metric, folds: Sequence[Sequence[Prediction]]) -> list[float]:
    """What the metric comes to in each fold; NaN where there is nothing to measure."""
    return [metric.whole(metric.statistics(rows)) if rows else math.nan for rows in folds]


def mean_over(
    metric: Metric, values: Sequence[float], whole: float, on_rows: tuple[float, float] | None, confidence: float
) -> tuple[float, tuple[float, float] | None]:
    """The mean over the folds that have something to measure, and its interval.

    Args:
        metric: beyond whose ends no interval reaches.
        values: of the folds, NaN where one has nothing to measure.
        whole: the value on the rows of all folds together.
        on_rows: its interval, two-sided. The mean is given none that is narrower: folds that agree by luck, or are
            all perfect, know no more than their rows tell.
        confidence: of both intervals.

    Returns:
        NaN where no fold has a value; no interval where fewer than two have, or the rows give none.
    """
    from scipy.special import stdtrit  # takes as long to load as all of numpy

    known = [value for value in values if math.isfinite(value)]
    count = len(known)
    if count < 2 or on_rows is None:
        return (float(np.mean(known)) if known else math.nan), None
    mean = float(np.mean(known))
    error = float(np.std(known, ddof=1)) / math.sqrt(count)
    reach = float(stdtrit(count - 1, (1 + confidence) / 2)) * error
    below, above = max(reach, whole - on_rows[0]), max(reach, on_rows[1] - whole)
    return mean, (max(mean - below, metric.lowest), min(mean + above, metric.highest))


def mean_over_seeds(
    metric: Metric, values: Sequence[float], on_rows: tuple[float, float] | None, confidence: float
) -> tuple[float, tuple[float, float] | None]:
    """The mean over models of other seeds on the same rows, and its interval: how well such a training does.

    What the rows and what the seeds leave open are independent, and so their squares add up.

    Args:
        metric: beyond whose ends no interval reaches.
        values: of the seeds, NaN where one has nothing to measure.
        on_rows: how far the interval of one model's value reaches below and above it.
        confidence: of both intervals.
    """
    from scipy.special import stdtrit

    known = [value for value in values if math.isfinite(value)]
    mean = float(np.mean(known)) if known else math.nan
    if len(known) < 2 or on_rows is None:
        return mean, None
    error = float(np.std(known, ddof=1)) / math.sqrt(len(known))
    reach = float(stdtrit(len(known) - 1, (1 + confidence) / 2)) * error
    below, above = math.hypot(reach, on_rows[0]), math.hypot(reach, on_rows[1])
    return mean, (max(mean - below, metric.lowest), min(mean + above, metric.highest))
