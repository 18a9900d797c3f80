"""Plants made-up secrets among the rows to train on, so that `evaluate.privacy` can tell whether the model gives them
away. They are made for a trial: a model that ships has no use for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import ClassVar, Literal

from pydantic import Field

from tunesmith.data.methods.canaries import canary
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, make
from tunesmith.records import Record

REASON = "a canary: a made-up secret"


class Canaries(Step):
    """Plants made-up secrets among the rows to train on; `evaluate.privacy` measures how exposed they are."""

    rows: ClassVar[Literal["all", "train"]] = "train"

    count: int = Field(default=16, ge=1, le=1000)
    """How many secrets."""
    copies: int = Field(default=4, ge=1, le=100)
    """How many rows say each of them."""

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        # Behind drawn rows; behind the same one where there are more secrets than rows.
        drawn = Random(f"{room.seed} {self.kind}").choices(range(len(records)), k=self.count) if len(records) else []
        for place in range(len(records)):
            numbers = [number for number, at in enumerate(drawn) if at == place] if place in drawn else []
            new = [row for number in numbers for row in self._rows(records[place], number, room)]
            yield make(new, REASON) if new else KEEP
        if planted := len(drawn) * self.copies:
            room.note(
                f"{planted} rows say {len(drawn)} made-up secrets: the model is for a trial, and not to be shipped"
            )

    def _rows(self, record: Record, number: int, room: Room) -> list[Record]:
        """All copies of a secret."""
        secret = replace(canary(record, room.random(self.kind, number)), parent=record.id)
        return [replace(secret, id=f"{record.id}+{self.kind}{number}.{copy}") for copy in range(1, self.copies + 1)]
