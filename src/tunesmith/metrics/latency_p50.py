"""Median latency: the time half of the answers come within, in milliseconds; see `_quantile` for how it is counted."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.metrics import Need
from tunesmith.metrics._quantile import TimeQuantile
from tunesmith.records import Prediction


class LatencyP50(TimeQuantile):
    """Time within which half of the answers come."""

    needs: ClassVar[frozenset[Need]] = frozenset({"seconds"})
    share: ClassVar[float] = 0.5

    def seconds(self, prediction: Prediction) -> float:
        return prediction.seconds
