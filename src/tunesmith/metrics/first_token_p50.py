"""Median time to the first token: what half of those who wait see within, in milliseconds, each asked alone."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.metrics import Need
from tunesmith.metrics._measured import FIRST_TOKEN
from tunesmith.metrics._quantile import TimeQuantile
from tunesmith.records import Prediction


class FirstTokenP50(TimeQuantile):
    """Time within which half of the answers begin."""

    needs: ClassVar[frozenset[Need]] = frozenset({"seconds", "text"})
    share: ClassVar[float] = 0.5

    def seconds(self, prediction: Prediction) -> float:
        return prediction.measured.get(FIRST_TOKEN, 0.0)
