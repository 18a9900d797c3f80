"""Labelling functions: rules that vote for a label or say nothing. The file name is the kind in a spec.

A function in Python is a part of an installed package, announced under `tunesmith.label_functions`; no spec can have
code run that nobody has installed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from pydantic import Field

from tunesmith.data.room import Room
from tunesmith.part import Part
from tunesmith.records import Record


class LabelFunction(Part):
    """Votes for a label, row by row, or says nothing."""

    name: str = Field(min_length=1, examples=["first"])
    """What it is called in tables; its votes stand under it."""

    def columns(self) -> tuple[str, ...]:
        """Columns it reads from the slices of records."""
        return ()

    def models(self) -> tuple[str, ...]:
        """References of the models it asks."""
        return ()

    @abstractmethod
    def votes(self, records: Sequence[Record], room: Room) -> Iterator[str | None]:
        """Yields its vote on each record, in order; None where it abstains."""


class RowFunction(LabelFunction):
    """A function that looks at one record at a time."""

    @abstractmethod
    def vote(self, record: Record) -> str | None:
        """The label it votes for, or None. Called in other processes."""

    def votes(self, records: Sequence[Record], room: Room) -> Iterator[str | None]:
        return room.map(self.vote, records)
