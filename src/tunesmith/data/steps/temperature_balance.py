"""Evens classes out by a temperature."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.data.methods.augmenting.balance import shared_out
from tunesmith.data.steps._balance import Resample


class TemperatureBalance(Resample):
    """Gives each class a share of the rows in proportion to (its rows)^(1/temperature), as many in all as there were:
    large classes lose rows, spread over their lengths, and rows of small ones are repeated (arXiv 1907.05019)."""

    chooses: ClassVar[bool] = True

    temperature: float = Field(default=2.0, ge=1)
    """1 leaves the shares as they are, 2 evens them out a little, 100 makes them about equal."""

    def wanted(self, counts: dict[str, int]) -> dict[str, int]:
        return shared_out(counts, self.temperature)
