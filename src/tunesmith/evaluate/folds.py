"""Figures of a cross-validation: the mean of the folds, and how far it may be off.

The interval is Student's over the folds, and never narrower than that of the rows. Folds share most of what they learn
from, so the first alone is too narrow (Bengio and Grandvalet, JMLR 5, 2004); widened for that as Nadeau and Bengio do
(Machine Learning 52, 2003) it holds 96 to 99% of the time at 95%, and the wider of the two 93 to 98% (docs/log.md).
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
