"""What steps that balance the classes of rows to train on have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tunesmith.data.methods.augmenting.balance import spread, times
from tunesmith.data.methods.augmenting.target import said
from tunesmith.data.methods.augmenting.words import words_of
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, drop, make
from tunesmith.errors import UserError
from tunesmith.records import Record

DROPPED = "class reduced"
REPEATED = "repeated to fill its class"


class Balance(Step):
    """Works on the classes of rows to train on."""

    rows: ClassVar[Literal["all", "train"]] = "train"

    by: str = Field(default="label", min_length=1)
    """What makes a class: `label`, or a column. A row with several labels belongs to the rarest of them; rows without
    are left alone."""

    def columns(self) -> tuple[str, ...]:
        return () if self.by == "label" else (self.by,)

    def classes(self, records: Sequence[Record]) -> Classes:
        """The class of each row.

        Raises:
            UserError: no row has one.
        """
        found = Classes(records, self.by)
        if len(records) and not found.counts and self.by != "label":
            raise UserError(
                f"no row to train on has a value in the column {self.by!r}",
                where=f"data.steps: {self.kind}.by",
                fix="name a column of the data, or write `label`",
            )
        return found


class Resample(Balance):
    """Leaves some rows of a class out, or repeats them, until it has as many as it should."""

    @abstractmethod
    def wanted(self, counts: dict[str, int]) -> dict[str, int]:
        """How many rows each class should have."""

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        classes = self.classes(records)
        wanted = self.wanted(classes.counts)
        lengths = np.fromiter(room.look(_length, records), dtype=np.int64, count=len(records))
        stands = np.ones(len(records), dtype=np.int64)
        for name, count in classes.counts.items():
            places, random = classes.places(name), room.random(self.kind, name)
            if wanted[name] < count:
                stands[places] = 0
                stands[places[spread(lengths[places], wanted[name], random)]] = 1
            else:
                stands[places] = times(count, wanted[name], random)
        taken = {record.id for record in records if record.parent is not None}
        for record, count in zip(records, stands.tolist(), strict=True):
            yield _outcome(record, count, taken)
        tell(room, classes.counts, wanted)


class Classes:
    """The class of every record; names of classes, and a number for each record.

    Args:
        records: those to train on.
        by: `label` or a column.
    """

    def __init__(self, records: Sequence[Record], by: str) -> None:
        rarity: Counter[str] = Counter()
        if by == "label":
            rarity.update(label for record in records for label in record.labels)
        numbers: dict[str, int] = {}
        found = (_class_of(record, by, rarity) for record in records)
        self._class = np.fromiter(
            (-1 if name is None else numbers.setdefault(name, len(numbers)) for name in found), np.int64, len(records)
        )
        self._numbers = numbers
        sizes = np.bincount(self._class[self._class >= 0], minlength=len(numbers)).tolist()
        self.names = list(numbers)
        self.counts: dict[str, int] = dict(sorted(zip(numbers, sizes, strict=True), key=lambda pair: -pair[1]))
        """Class -> rows, the largest first."""

    def places(self, name: str) -> npt.NDArray[np.int64]:
        """Where the rows of a class stand."""
        return np.flatnonzero(self._class == self._numbers[name])

    def at(self, place: int) -> str | None:
        """The class of the row there."""
        number = int(self._class[place])
        return None if number < 0 else self.names[number]


def tell(room: Room, before: dict[str, int], after: dict[str, int]) -> None:
    """Keeps how many rows each class had and has."""
    room.figure("rows of each class", {name: {"before": before[name], "after": after[name]} for name in before})


def _class_of(record: Record, by: str, rarity: Counter[str]) -> str | None:
    if by == "label":
        return min(record.labels, key=lambda label: (rarity[label], label), default=None)
    return record.slices.get(by)


def _length(record: Record) -> int:
    return len(words_of(said(record)))


def _outcome(record: Record, count: int, taken: set[str]) -> Outcome:
    if count == 0:
        return drop(DROPPED)
    copies: list[Record] = []
    number = 1
    while len(copies) < count - 1:
        number += 1
        name = f"{record.id}+copy{number}"
        if name not in taken:
            taken.add(name)
            copies.append(replace(record, id=name, parent=record.id))
    return make(copies, REPEATED) if copies else KEEP
