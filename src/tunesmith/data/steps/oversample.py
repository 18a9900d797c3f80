"""Repeats rows of small classes."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from tunesmith.data.steps._balance import Resample
from tunesmith.spec.quantity import Share


class Oversample(Resample):
    """Repeats rows of small classes, each about equally often; which ones once more is drawn."""

    to: Literal["max"] | Annotated[int, Field(ge=2)] | Share = "max"
    """How many rows a class should have at least: `max`, as many as the largest; a share of those, `50%`; or a number
    of rows."""

    def wanted(self, counts: dict[str, int]) -> dict[str, int]:
        largest = max(counts.values(), default=0)
        if isinstance(self.to, Share):
            least = math.ceil(self.to.value * largest - 1e-9)
        else:
            least = largest if self.to == "max" else self.to
        return {name: max(count, least) for name, count in counts.items()}
