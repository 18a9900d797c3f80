"""Names the group that a row is about, by the terms of identity in it. English only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import Field

from tunesmith.data.methods.identity.groups import BUNDLED, open_groups
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, change
from tunesmith.errors import UserError, did_you_mean
from tunesmith.records import Record

NAMED = "its group named"


def column_of(kind: str) -> str:
    """The column that holds the group of a kind."""
    return f"{kind}_in_text"


class IdentityTerms(Step):
    """Writes the group that a row's question names into a column for each kind, `gender_in_text`: `female` where it
    says `she`, `(several)` where it names more than one, nothing where it names none.

    Slices, targets, metrics and other steps can name the column.
    """

    kinds: tuple[str, ...] = Field(min_length=1, examples=[["gender"]])
    """`gender`, `ethnicity`, `nationality`, `religion`, `sexuality`, `age`, `disability`, or kinds of `groups`."""
    groups: str | None = None
    """A YAML file with groups and terms of your own, `gender: {female: [she], male: [he]}`, relative to the spec."""

    def makes(self) -> tuple[str, ...]:
        return tuple(map(column_of, self.kinds))

    def files(self) -> tuple[str, ...]:
        return () if self.groups is None else (self.groups,)

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        file = BUNDLED if self.groups is None else (room.folder / self.groups).resolve()
        known = open_groups(file)
        if unknown := [kind for kind in self.kinds if kind not in known]:
            raise UserError(
                f"there are no groups of the kind {unknown[0]!r}{did_you_mean(unknown[0], known)}",
                where=f"data.steps: {self.kind}.kinds",
                fix=f"use some of: {', '.join(known)}",
            )
        return room.map(partial(self._look, file), records)

    def _look(self, file: Path, record: Record) -> Outcome:
        groups, said = open_groups(file), record.question
        named = {column_of(kind): group for kind in self.kinds if (group := groups[kind].group_of(said)) is not None}
        return change(replace(record, slices={**record.slices, **named}), NAMED) if named else KEEP
