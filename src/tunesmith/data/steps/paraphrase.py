"""Makes new rows by asking a model to say them in other words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tunesmith.data.methods.augmenting.asking import cleaned, paraphrase_prompt, why_not_said
from tunesmith.data.methods.augmenting.target import said, varied
from tunesmith.data.room import Room
from tunesmith.data.steps._augment import Candidate, RewordingAugment
from tunesmith.records import Record, Responder


class Paraphrase(RewordingAugment):
    """Says rows in other words, through a local model or an endpoint.

    An answer that is empty, declines, has a quite different length, or loses a number is left out and counted.
    """

    reason: ClassVar[str] = "said in other words"

    def ask(self, records: Sequence[Record], responder: Responder, room: Room, number: int) -> list[Candidate]:
        texts = [said(record) for record in records]
        answers = responder.respond(
            [paraphrase_prompt(text, record.labels) for text, record in zip(texts, records, strict=True)],
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed(room, number),
        )
        found = zip(records, texts, map(cleaned, answers), strict=True)
        return [why_not_said(new, text) or varied(record, new, None) for record, text, new in found]
