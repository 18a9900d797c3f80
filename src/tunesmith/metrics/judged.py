"""What a judge of `evaluate.judges` said of the answers, in the mean: 0 the worst, 1 the best of its scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.records import Prediction


def measure_name(judge: str, criterion: str) -> str:
    """Under which name a row's value stands in `Prediction.measured`."""
    return f"judge.{judge}.{criterion}"


class Judged(Metric):
    """The mean of a judge's values, rows that it could not be read on left out.

    A target on it can be met only where the judge agrees with people; see `least_agreement` of the judge.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"measured"})
    judge: str = Field(examples=["rubric"], min_length=1)
    """The judge's name, or its kind where it has none."""
    criterion: str = Field(examples=["helpful"], min_length=1)
    """Which of its criteria."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 2]: the value and 1; a row without one adds nothing.
        name = measure_name(self.judge, self.criterion)
        values = [row.measured.get(name) for row in predictions]
        said = [(0.0, 0.0) if value is None else (value, 1.0) for value in values]
        return np.array(said, dtype=np.float64).reshape(-1, 2)

    def value(self, totals: Floats) -> Floats:
        return ratio(totals[..., 0], totals[..., 1])
