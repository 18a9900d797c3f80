"""What a thousand calls cost, in US dollars.

Either a machine is paid by the hour, and a call costs the time it takes alone on it, or calls are paid by the tokens
they read and write; where both are given the two add up. One machine serves more calls an hour when it answers many
at once, so that the figure by the hour is what a call costs at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.metrics._measured import ANSWER_TOKENS, PROMPT_TOKENS
from tunesmith.records import Prediction


class CostPer1000(Metric):
    """Dollars for a thousand calls."""

    needs: ClassVar[frozenset[Need]] = frozenset({"seconds"})
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "USD"
    highest: ClassVar[float] = float("inf")
    for_contract: ClassVar[Mapping[str, Any]] = {"per_hour": 2.5}
    per_hour: float = Field(default=0.0, ge=0)
    """Dollars that an hour of the machine costs."""
    per_million_read: float = Field(default=0.0, ge=0)
    """Dollars for a million tokens of questions."""
    per_million_written: float = Field(default=0.0, ge=0)
    """Dollars for a million tokens of answers."""

    @model_validator(mode="after")
    def _has_a_price(self) -> Self:
        if not (self.per_hour or self.per_million_read or self.per_million_written):
            raise ValueError("cost_per_1000 needs a price: per_hour, or per_million_read and per_million_written")
        return self

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 2]: dollars for a thousand such calls, and whether the row has what its price is made of.
        costs = np.array([self._dollars(row) * 1000 for row in predictions], dtype=np.float64)
        known = np.isfinite(costs)
        return np.stack([np.where(known, costs, 0.0), known.astype(np.float64)], axis=-1)

    def value(self, totals: Floats) -> Floats:
        return ratio(totals[..., 0], totals[..., 1])

    def _dollars(self, row: Prediction) -> float:
        """Of one call; nan where what it is made of was not measured."""
        dollars = 0.0
        if self.per_hour:
            dollars += self.per_hour / 3600 * (row.seconds if row.seconds > 0 else np.nan)
        if self.per_million_read:
            dollars += self.per_million_read / 1e6 * row.measured.get(PROMPT_TOKENS, np.nan)
        if self.per_million_written:
            dollars += self.per_million_written / 1e6 * row.measured.get(ANSWER_TOKENS, np.nan)
        return dollars
