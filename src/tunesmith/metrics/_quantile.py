"""Quantiles of times. What latencies and the times to the first token share.

A percentile is the smallest time that at least that share of rows keep to (an order statistic, no
interpolation). Rows that were not timed by themselves have no time and do not count. Its interval
lies between two order statistics and holds for any distribution of times; few rows leave it open above.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Floats, Metric
from tunesmith.metrics._intervals import percentiles, quantile_ranks, rows_to_part
from tunesmith.records import Prediction


class TimeQuantile(Metric):
    """The time within which a share of the rows come."""

    better: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "ms"
    highest: ClassVar[float] = float("inf")
    share: ClassVar[float]

    @abstractmethod
    def seconds(self, prediction: Prediction) -> float:
        """A row's time; 0 where it was not timed."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 1]: milliseconds, nan where not timed.
        times = [seconds * 1000 if (seconds := self.seconds(row)) > 0 else np.nan for row in predictions]
        return np.array(times, dtype=np.float64)[:, None]

    def value(self, totals: Floats) -> Floats:
        return totals[..., 0]

    def resampled(self, statistics: Floats, weights: Floats) -> Floats:
        order = np.argsort(statistics[:, 0])[: int(np.isfinite(statistics[:, 0]).sum())]
        times = np.append(statistics[order, 0], np.nan)
        counted = weights[:, order]
        # The smallest time that reaches the share; the slack undoes rounding of, say, 0.95 * 60.
        needed = np.maximum(np.ceil(self.share * counted.sum(axis=1, keepdims=True) - 1e-9), 1)
        drawn: Floats = times[(np.cumsum(counted, axis=1) < needed).sum(axis=1)]
        return drawn

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        times = np.sort(statistics[np.isfinite(statistics[:, 0]), 0])
        if len(times) == 0:
            return None
        low, high = quantile_ranks(self.share, len(times), confidence)
        return (0.0 if low is None else float(times[low - 1]), np.inf if high is None else float(times[high - 1]))

    def difference(self, after: Floats, before: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        return percentiles(drawn, confidence)

    def rows_to_settle(self, statistics: Floats, limit: float, bound: float, confidence: float) -> float:
        times = statistics[np.isfinite(statistics[:, 0]), 0]
        within = float((times <= bound).mean())
        if within == 1:
            # Until so many rows in a row keep to it, even the slowest is no upper limit.
            return math.ceil(math.log(1 - confidence) / math.log(self.share))
        return rows_to_part(within, self.share, confidence)
