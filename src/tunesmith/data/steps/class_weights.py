"""Lets rows of rare classes count more in the loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from tunesmith.data.methods.augmenting.balance import effective_number, inverse_frequency
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, change
from tunesmith.data.steps._balance import Balance
from tunesmith.records import Record

WEIGHED = "weighed by its class"


class ClassWeights(Balance):
    """Multiplies the weight of each row by one of its class; over all rows with a class these have a mean of one."""

    formula: Literal["inverse_frequency", "effective_number"] = "inverse_frequency"
    """`inverse_frequency`: every class counts the same in all. `effective_number`: rows of a large class repeat each
    other, by (1 - beta^rows) / (1 - beta) (arXiv 1901.05555); between that and no weights."""
    beta: float = Field(default=0.999, gt=0, lt=1)
    """For `effective_number`: the nearer to one, the nearer to `inverse_frequency`."""

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        classes = self.classes(records)
        counts = classes.counts
        weights = (
            effective_number(counts, self.beta) if self.formula == "effective_number" else inverse_frequency(counts)
        )
        for place, record in enumerate(records):
            name = classes.at(place)
            weight = record.weight * (1.0 if name is None else weights[name])
            yield KEEP if weight == record.weight else change(replace(record, weight=weight), WEIGHED)
        total = sum(counts.values())
        room.figure(
            "share of the loss of each class",
            {
                name: {
                    "rows": count,
                    "weight": round(weights[name], 4),
                    "before": round(count / total, 4),
                    "after": round(count * weights[name] / total, 4),
                }
                for name, count in counts.items()
            },
        )
