"""Data steps: what is done to the records, one after the other. The file name is the step's name in a spec.

A step is handed all records, which lie on disk and can be read any number of times, and yields one outcome for each, in
their order. Most look at one record at a time (`RowStep`); others look at all of them first, through `Room.map`, which
computes on several cores, and keep what they need to remember in arrays.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from tunesmith.data.room import Room
from tunesmith.part import Part
from tunesmith.records import Record


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that was left out."""

    record: Record
    step: str
    reason: str
    """A short constant phrase, so that reasons can be counted."""
    detail: str = ""
    """What it was in this row: the id of its copy, the value that was too large."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A record that was put right."""

    before: Record
    after: Record
    step: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of one record. Made by `KEEP`, `change`, `drop` and `make`."""

    record: Record | None = None
    """As it goes on, where it was changed."""
    reasons: tuple[str, ...] = ()
    """Why it was changed, or why new ones were made of it; or the one reason it is dropped for."""
    dropped: bool = False
    detail: str = ""
    made: tuple[Record, ...] = ()
    """New records that follow it; each names it as its `parent`."""
    shown: Record | None = None
    """What is kept for people to look at, in place of the record as it was: where that must not be written down."""


KEEP = Outcome()
"""The record goes on as it is."""


def change(record: Record, *reasons: str, shown: Record | None = None) -> Outcome:
    """The record goes on as `record`, with the same id. Reasons are short constant phrases, to be counted by.

    Args:
        shown: kept as what it was before, in its place, where that must not be written down.
    """
    return Outcome(record, reasons, shown=shown)


def drop(reason: str, detail: str = "", *, shown: Record | None = None) -> Outcome:
    """The record is left out; `shown` is kept of it in its place, where it must not be written down."""
    return Outcome(None, (reason,), dropped=True, detail=detail, shown=shown)


def make(records: Sequence[Record], reason: str) -> Outcome:
    """The record goes on as it is, followed by new ones."""
    return Outcome(None, (reason,), made=tuple(records))


class Step(Part):
    """Looks at all records and keeps, changes or drops each, in their order."""

    rows: ClassVar[Literal["all", "train"]] = "all"
    """Which rows it works on: all, before they are divided; or those to train on, afterwards. Only the latter may make
    new rows."""

    chooses: ClassVar[bool] = False
    """Whether it leaves rows out on purpose, to choose among good ones: they do not count as lost."""

    def columns(self) -> tuple[str, ...]:
        """Columns it reads from the slices of records, beside what records hold anyway."""
        return ()

    def makes(self) -> tuple[str, ...]:
        """Columns it writes into the slices of records, for steps after it and whatever else names them."""
        return ()

    def models(self) -> tuple[str, ...]:
        """References of the models it asks, so that a result is kept for as long as they stay the same; `base` for one
        that counts tokens."""
        return ()

    def files(self) -> tuple[str, ...]:
        """Files it reads beside the records, named as sources are, so that a result is kept for as long as they stay
        the same."""
        return ()

    def hides(self) -> bool:
        """Whether it takes out what should be written down nowhere."""
        return False

    def kept(self, vault: Path | None) -> str:
        """Names what its result depends on that is kept in the vault; empty for steps that keep nothing there."""
        return ""

    @abstractmethod
    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        """Yields what becomes of each record, in order. Records keep their ids.

        Args:
            records: may be read several times; too many to hold, so nothing but arrays should be kept of them.
            room: what it works with: cores, models, a seed, and where it tells what it found.
        """


class RowStep(Step):
    """A step that looks at one record at a time."""

    @abstractmethod
    def look(self, record: Record) -> Outcome:
        """What becomes of a record, whatever the others are. Called in other processes."""

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        """One record after the other, on several cores."""
        return room.map(self.look, records)
