"""Length of the answers over that of the right ones, of all rows together; 1 is as long.

With several right answers the one nearest in length counts. Lower is counted as better, for models that ramble are
what it is watched for; hold it between two targets to have neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.metrics.answer_length import Unit, length
from tunesmith.records import Prediction


class LengthRatio(Metric):
    """How long answers are against right ones."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    highest: ClassVar[float] = float("inf")
    per: Unit = "word"
    """What lengths are counted in: words between blanks, or characters."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 2]: lengths of the answer and of the right one.
        lengths = []
        for row in predictions:
            given = length(row.output, self.per)
            right = [length(reference, self.per) for reference in row.references]
            lengths.append((given, min(right, key=lambda wanted: (abs(wanted - given), wanted))))
        return np.array(lengths, dtype=np.float64).reshape(-1, 2)

    def value(self, totals: Floats) -> Floats:
        return ratio(totals[..., 0], totals[..., 1])
