"""Drops rows that are too short or too long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tunesmith.data.methods.quality.said import answered, asked
from tunesmith.data.methods.quality.words import words
from tunesmith.data.room import Room
from tunesmith.data.steps._bounded import Bound, BoundedStep, gathered
from tunesmith.records import Record

_AT_ONCE = 1000
"""Rows handed to the tokenizer together."""


class Length(BoundedStep):
    """Leaves out rows that are shorter or longer than bounds. Prompts and answers can have their own: name the step
    twice. Without bounds it drops only what is empty, and shows how lengths are spread.
    """

    unit: Literal["tokens", "words", "characters"] = "tokens"
    """What is counted: tokens of the base's tokenizer, words, or characters. In scripts that do not separate words,
    each character counts as one."""
    of: Literal["row", "prompt", "answer"] = "row"
    """Whose length: the whole row, what the user says (the text where there are no turns), or what is answered. Rows
    that have no such part are kept."""
    lowest: int = Field(default=1, ge=0)
    """The fewest."""
    highest: int | None = Field(default=None, ge=1)
    """The most; without one, rows may be as long as they are."""

    @model_validator(mode="after")
    def _in_order(self) -> Length:
        if self.highest is not None and self.highest < self.lowest:
            raise ValueError(f"highest {self.highest} is below lowest {self.lowest}")
        return self

    def models(self) -> tuple[str, ...]:
        return ("base",) if self.unit == "tokens" else ()

    def bounds(self, values_NK: npt.NDArray[np.float64]) -> tuple[Bound, ...]:
        what = f"{self.unit} of the {self.of}"
        return (Bound(what, self.lowest, self.highest, f"{self.of} too short", f"{self.of} too long"),)

    def measure(self, records: Sequence[Record], room: Room) -> npt.NDArray[np.float64]:
        if self.unit == "tokens":
            return gathered(self._tokens(records, room.models.count_tokens), len(records), 1)
        return gathered(room.look(self._count, records), len(records), 1)

    def _count(self, record: Record) -> tuple[float]:
        said = self._said(record)
        if not said:
            return (np.nan,)
        return (float(sum(len(words(text)) if self.unit == "words" else len(text) for text in said)),)

    def _tokens(
        self, records: Sequence[Record], count_tokens: Callable[[Sequence[str]], list[int]]
    ) -> Iterator[tuple[float]]:
        left = iter(records)
        while batch := list(islice(left, _AT_ONCE)):
            said = [self._said(record) for record in batch]
            counts = iter(count_tokens([text for each in said for text in each]))
            yield from ((float(sum(islice(counts, len(each)))) if each else np.nan,) for each in said)

    def _said(self, record: Record) -> tuple[str, ...]:
        if self.of == "prompt":
            return asked(record)
        if self.of == "answer":
            return answered(record)
        turns = (*record.messages, *record.chosen, *record.rejected)
        return (*([record.text] if record.text is not None else []), *(turn.content for turn in turns))
