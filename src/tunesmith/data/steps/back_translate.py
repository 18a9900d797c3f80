"""Makes new rows by having them translated into another language and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from tunesmith.data.methods.augmenting.asking import cleaned, translation_prompt, why_not_said
from tunesmith.data.methods.augmenting.target import said, varied
from tunesmith.data.room import Room
from tunesmith.data.steps._augment import Candidate, RewordingAugment
from tunesmith.records import Record, Responder


class BackTranslate(RewordingAugment):
    """Has rows translated into another language and back (arXiv 1511.06709), through a local model or an endpoint.

    An answer that is empty, declines, has a quite different length, or loses a number is left out and counted.
    """

    reason: ClassVar[str] = "translated and translated back"

    pivots: tuple[str, ...] = Field(default=("German", "French", "Spanish"), min_length=1)
    """Languages it goes through; each row, and each of its copies, through one of them."""
    language: str = "English"
    """The language of the rows."""

    def ask(self, records: Sequence[Record], responder: Responder, room: Room, number: int) -> list[Candidate]:
        texts, seed = [said(record) for record in records], self.seed(room, number)
        pivots = [self._pivot(room, record, number) for record in records]
        there = self._translated(texts, pivots, responder, seed)
        back = self._translated(there, [self.language] * len(texts), responder, seed)
        return [
            why_not_said(middle, text) or why_not_said(new, text) or varied(record, new, None)
            for record, text, middle, new in zip(records, texts, there, back, strict=True)
        ]

    def _pivot(self, room: Room, record: Record, number: int) -> str:
        first = int(room.random(self.kind, "pivot", record.id).integers(len(self.pivots)))
        return self.pivots[(first + number) % len(self.pivots)]

    def _translated(self, texts: Sequence[str], languages: Sequence[str], responder: Responder, seed: int) -> list[str]:
        asked = [translation_prompt(text, language) for text, language in zip(texts, languages, strict=True)]
        answers = responder.respond(asked, max_tokens=self.max_tokens, temperature=self.temperature, seed=seed)
        return [cleaned(answer) for answer in answers]
