"""Weighs rows so that no group has more of a label than another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from tunesmith.data.read.row import MISSING_SLICE
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, change
from tunesmith.errors import UserError
from tunesmith.records import Record

WEIGHED = "weighed by its group and label"


class Reweigh(Step):
    """Multiplies the weight of each row by how often its label would go with its group, were the two independent, over
    how often it does (Kamiran and Calders, Knowledge and Information Systems 33, 2012).

    The weights of a label sum to what they did, and so do those of a group. Rows without a group are left alone.
    """

    rows: ClassVar[Literal["all", "train"]] = "train"

    by: str = Field(min_length=1, examples=["channel"])
    """The column that holds the group; `gender_in_text` where the step `identity_terms` made it."""

    def columns(self) -> tuple[str, ...]:
        return (self.by,)

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        cells: Counter[tuple[str, str]] = Counter()
        grouped = False
        for record in records:
            grouped = grouped or record.slices.get(self.by, MISSING_SLICE) != MISSING_SLICE
            if (cell := self._cell(record)) is not None:
                cells[cell] += 1
        if len(records) and not grouped:
            raise UserError(
                f"no row to train on has a value in the column {self.by!r}",
                where=f"data.steps: {self.kind}.by",
                fix="name a column of the data, or one that a step before this one makes",
            )
        weights = balanced(cells)
        for record in records:
            cell = self._cell(record)
            weight = record.weight * (1.0 if cell is None else weights[cell])
            yield KEEP if weight == record.weight else change(replace(record, weight=weight), WEIGHED)
        room.figure(
            "weight of each group and label",
            {
                f"{group}: {label}": {"rows": count, "weight": round(weights[group, label], 4)}
                for (group, label), count in cells.most_common()
            },
        )

    def _cell(self, record: Record) -> tuple[str, str] | None:
        """Group and label; several labels of a row are one."""
        group = record.slices.get(self.by, MISSING_SLICE)
        return None if group == MISSING_SLICE or not record.labels else (group, ", ".join(record.labels))


def balanced(cells: Counter[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """The weight of a row of each (group, label), by how many rows there are of each."""
    groups: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    for (group, label), count in cells.items():
        groups[group] += count
        labels[label] += count
    return {
        (group, label): groups[group] * labels[label] / (cells.total() * count)
        for (group, label), count in cells.items()
    }
