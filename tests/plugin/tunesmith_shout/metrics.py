"""A metric that an entry point names by its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from tunesmith.metrics import Mean, Need
from tunesmith.records import Prediction


class Loudness(Mean):
    """Share of capitals in the output."""

    needs: ClassVar[frozenset[Need]] = frozenset()

    floor: float = Field(default=0.0, ge=0, le=1)
    """The least a row can have."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        return [max(self.floor, sum(map(str.isupper, p.output)) / max(len(p.output), 1)) for p in predictions]
