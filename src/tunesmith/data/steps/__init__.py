"""Data steps: what is done to the records, one after the other. The file name is the step's name in a spec."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.part import Part
from tunesmith.records import Record


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that was left out."""

    record: Record
    step: str
    reason: str
    """A short constant phrase, so that reasons can be counted."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A record that was put right."""

    before: Record
    after: Record
    step: str
    reason: str


@dataclass(frozen=True)
class StepResult:
    """What a step did: every record it was given is in `kept` (perhaps changed) or in `dropped`."""

    kept: list[Record]
    dropped: list[Dropped]
    changed: list[Changed]


class Step(Part):
    """Looks at all records and keeps, changes or drops each, in their order."""

    @abstractmethod
    def apply(self, records: Sequence[Record]) -> StepResult:
        """Does the step. Records keep their ids; none is invented."""
