"""What near_dedup and meaning_dedup share: which of the rows that are alike stays, and what is told of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tunesmith.data.methods.similar.alike import Alike, Choice, choose
from tunesmith.data.methods.similar.show import difference, excerpt
from tunesmith.data.methods.similar.texts import Compared, compared
from tunesmith.data.methods.similar.words import I64
from tunesmith.data.room import SHOWN, Room
from tunesmith.data.steps import KEEP, Outcome, Step, drop
from tunesmith.errors import DataError
from tunesmith.records import Record

COPIES = 5
"""Copies shown of one row."""


class _Members(NamedTuple):
    """Rows that are like another one, group by group, those that should rather stay first in each."""

    rows: I64
    group: I64
    kind: I64
    """Which labels each has."""


class Duplicates(Step):
    """Base of the steps that keep one of the rows that are alike."""

    compare: Compared = "content"
    """What is compared: the whole `content`, the `prompt`, or the `answer`. System turns never are. Texts with labels
    are compared whole."""
    keep: Literal["first", "longest", "highest"] = "first"
    """Which of them stays: the first, the longest, or that with the highest value of `by`. A row that its source holds
    out for validation or test stays rather than one to train on."""
    by: str | None = Field(default=None, min_length=1)
    """The column that `keep: highest` goes by: a number, or a date, of which the newest stays."""
    across_labels: bool = False
    """Whether rows with different labels count as copies. If not they stay, and are shown: either they differ in what
    matters, or one of the labels is wrong."""

    same: ClassVar[str]
    """Reason for a copy that nothing was found to differ in."""
    near: ClassVar[str]
    """Reason for any other."""
    other_label: ClassVar[str]
    """Reason for one with another label."""

    @model_validator(mode="after")
    def _by_goes_with_highest(self) -> Self:
        if (self.keep == "highest") != (self.by is not None):
            raise ValueError("`keep: highest` and `by: COLUMN` go together")
        return self

    def columns(self) -> tuple[str, ...]:
        return (self.by,) if self.by is not None else ()

    @abstractmethod
    def _alike(self, records: Sequence[Record], room: Room) -> AbstractContextManager[Alike]:
        """Finds rows that are alike. What it opened is closed afterwards."""

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        with self._alike(records, room) as alike:
            members = self._members(alike.groups(), records, room)
            choice = choose(members.rows, _parts(members, self.across_labels), alike, len(records))
            kind = np.full(len(records), -1, np.int64)
            kind[members.rows] = members.kind
            self._tell(records, members, alike, choice, room)
            if not self.across_labels:
                self._tell_contradictions(records, members, alike, choice, room)
        for place in range(len(records)):
            stays = int(choice.stands_for[place])
            if stays == place:
                yield KEEP
                continue
            reason = self.same if choice.similarity[place] >= 1 else self.near
            reason = self.other_label if kind[place] != kind[stays] else reason
            yield drop(reason, f"of {records[stays].source}, {choice.similarity[place]:.2f} alike")

    def _members(self, groups: I64, records: Sequence[Record], room: Room) -> _Members:
        sizes = np.bincount(groups, minlength=len(records))
        rows = np.flatnonzero(sizes[groups] > 1)
        value, kind = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
        kinds: dict[tuple[str, ...], int] = {}
        for place, row in enumerate(rows.tolist()):
            record = records[row]
            value[place] = self._value(record)
            kind[place] = kinds.setdefault(tuple(sorted(set(record.labels))), len(kinds))
        if self.by is not None and len(rows) and (unknown := int(np.isneginf(value).sum())):
            if unknown == len(rows):
                where, fix = f"data.steps.{self.kind}.by", "name a column of numbers or ISO dates, or `keep: first`"
                raise DataError(f"no row has a number or a date in the column {self.by!r}", where=where, fix=fix)
            room.note(f"{unknown} of {len(rows)} rows that are alike have no number or date in {self.by!r}")
        free = rows >= room.num_held_out
        order = np.lexsort((rows, -value, free, groups[rows]))
        return _Members(rows[order], groups[rows][order], kind[order])

    def _value(self, record: Record) -> float:
        """What a row stays by; the highest does."""
        if self.keep == "longest":
            return float(len(compared(record, self.compare)))
        return 0.0 if self.by is None else _number(record.slices.get(self.by, ""))

    def _tell(self, records: Sequence[Record], members: _Members, alike: Alike, choice: Choice, room: Room) -> None:
        room.measured("similarity to the nearest row", alike.nearest, high=float(np.nextafter(alike.threshold, 0)))
        copies = choice.left_out
        stays, counts = np.unique(choice.stands_for[copies], return_counts=True)
        sizes = np.unique(members.group, return_counts=True)[1]
        room.figure(
            "near copies",
            {"compared": alike.compared, "groups": len(sizes), "largest_group": int(sizes.max(initial=0))}
            | {"rows_alike": len(members.rows), "copies": len(copies), "of": len(stays)},
        )
        room.note(f"{len(copies)} of {len(records)} rows are copies of {len(stays)} others")
        largest = stays[np.argsort(-counts, kind="stable")][:SHOWN].tolist()
        by_row: dict[int, list[int]] = {row: [] for row in largest}
        for copy in copies[np.isin(choice.stands_for[copies], largest)].tolist():
            by_row[int(choice.stands_for[copy])].append(copy)
        room.show("rows with most copies", (self._shown(row, by_row[row], records, choice) for row in largest))
        least = copies[np.argsort(choice.similarity[copies], kind="stable")]
        # Of a row with many copies the least like it is enough.
        least = least[np.sort(np.unique(choice.stands_for[least], return_index=True)[1])][:SHOWN].tolist()
        room.show(
            "copies that are least like the row that stays",
            (self._shown(int(choice.stands_for[copy]), [copy], records, choice) for copy in least),
        )

    def _tell_contradictions(
        self, records: Sequence[Record], members: _Members, alike: Alike, choice: Choice, room: Room
    ) -> None:
        """Tells of rows that stay although they are like one with another label."""
        stay = choice.stands_for[members.rows] == members.rows
        others = choose(members.rows[stay], members.group[stay], alike, len(records))
        if len(found := others.left_out):
            room.note(f"{len(found)} rows stay that are like a row with another label")
            room.show(
                "alike, with different labels",
                (self._shown(int(others.stands_for[row]), [row], records, others) for row in found[:SHOWN].tolist()),
            )

    def _shown(self, row: int, copies: Sequence[int], records: Sequence[Record], choice: Choice) -> dict[str, object]:
        kept = records[row]
        said = compared(kept, self.compare)
        found = [(copy, records[copy]) for copy in copies[:COPIES]]
        return {
            "row": kept.source,
            "labels": list(kept.labels),
            "text": excerpt(said),
            "copies": len(copies),
            "shown": [
                {
                    "row": record.source,
                    "labels": list(record.labels),
                    "similarity": round(float(choice.similarity[copy]), 3),
                    "difference": excerpt(difference(said, compared(record, self.compare))),
                }
                for copy, record in found
            ],
        }


def _parts(members: _Members, across_labels: bool) -> npt.NDArray[np.int64]:
    """Numbers of the groups in which one row stays: those of rows alike, or these by label."""
    return members.group if across_labels else members.group * (int(members.kind.max(initial=0)) + 1) + members.kind


def _number(said: str) -> float:
    try:
        found = float(said)
    except ValueError:
        try:
            date = datetime.fromisoformat(said)
        except ValueError:
            return -np.inf
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    return found if np.isfinite(found) else -np.inf
