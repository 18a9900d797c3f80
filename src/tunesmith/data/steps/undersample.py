"""Leaves out rows of large classes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tunesmith.data.steps._balance import Resample
from tunesmith.spec.quantity import Share


class Undersample(Resample):
    """Leaves out rows of large classes, drawn so that their lengths stay spread as they were."""

    chooses: ClassVar[bool] = True

    to: Literal["min"] | Annotated[int, Field(ge=2)] | Share = "min"
    """How many rows a class should have at the most: `min`, as many as the smallest; so many that the smallest has this
    share of them, `50%`; or a number of rows."""

    @model_validator(mode="after")
    def _leaves_rows(self) -> Self:
        if isinstance(self.to, Share) and self.to.value == 0:
            raise ValueError("a share of 0 leaves all rows in; leave the step out, or write a share above 0")
        return self

    def wanted(self, counts: dict[str, int]) -> dict[str, int]:
        smallest = min(counts.values(), default=0)
        if isinstance(self.to, Share):
            most = int(smallest / self.to.value + 1e-9)
        else:
            most = smallest if self.to == "min" else self.to
        return {name: min(count, most) for name, count in counts.items()}
