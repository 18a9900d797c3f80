"""Makes new rows by hiding words and letting a masked language model fill the gaps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from tunesmith.data.methods.augmenting.noise import drawn, how_many
from tunesmith.data.methods.augmenting.target import Target, target, varied
from tunesmith.data.methods.augmenting.words import FUNCTION_WORDS, Word, words_of, written_like
from tunesmith.data.rewrite import Edit, edited
from tunesmith.data.room import Room
from tunesmith.data.steps._augment import UNCHANGED, Augment, Candidate, Picked, chunks
from tunesmith.records import Record
from tunesmith.spec.quantity import Share

_SIGN = re.compile(r"[^\w\s]")


class _Gap(NamedTuple):
    """A word that is asked for, in the words and signs of its text."""

    word: Word
    words: list[str]
    place: int
    draw: float


class MaskFill(Augment):
    """Hides words one at a time and puts in what a masked language model finds likely there (arXiv 1805.06201).

    Labelled stretches and words that the answer takes up stay. The model does not know the label: `good` may become
    `bad`, so look at the new rows before training on them where single words decide.
    """

    reason: ClassVar[str] = "words filled in by a model"

    model: str = Field(examples=["models/bert"])
    """A masked language model: a folder or a hub id of BERT's kind."""
    change: Share = Share(0.15, "")
    """Share of the words that is replaced, at least one."""
    top: int = Field(default=10, ge=1, le=100)
    """Words are drawn among so many likeliest ones, by their probability."""

    def models(self) -> tuple[str, ...]:
        return (self.model,)

    def vary(self, records: Picked, room: Room) -> Iterator[list[Candidate]]:
        filler = room.models.filler(self.model)
        done = 0
        for chunk in chunks(records):
            asked = [
                self._gaps(target(record), room.random(self.kind, record.id, number))
                for record in chunk
                for number in range(self.copies)
            ]
            gaps = [gap for each in asked for gap in each]
            # One more than is drawn among, since the hidden word is often the likeliest.
            found = filler.fill([gap.words for gap in gaps], [gap.place for gap in gaps], self.top + 1) if gaps else []
            choices = iter(found)
            done += len(chunk)
            room.after(done, len(records))
            for at, record in enumerate(chunk):
                own = asked[at * self.copies : (at + 1) * self.copies]
                yield [self._filled(record, [(gap, next(choices)) for gap in each]) for each in own]

    def _gaps(self, found: Target, random: np.random.Generator) -> list[_Gap]:
        words = words_of(found.text)
        pieces = sorted(
            [*words, *(Word(*sign.span(), sign.group()) for sign in _SIGN.finditer(_blanked(found, words)))]
        )
        free = [
            word
            for word in found.free()
            if word.text.isalpha() and word.text.casefold() not in FUNCTION_WORDS and len(word.text) > 2
        ]
        chosen = [free[place] for place in drawn(random, how_many(self.change.value, len(words)), len(free))]
        said = [piece.text for piece in pieces]
        return [_Gap(word, said, pieces.index(word), float(random.random())) for word in chosen]

    def _filled(self, record: Record, gaps: list[tuple[_Gap, list[tuple[str, float]]]]) -> Candidate:
        edits = []
        for gap, likely in gaps:
            fits = [
                (word, chance)
                for word, chance in likely
                if word.isalnum() and word.casefold() != gap.word.text.casefold()
            ][: self.top]
            if fits:
                chances = np.cumsum([chance for _, chance in fits])
                drawn_at = int(np.searchsorted(chances, gap.draw * chances[-1], side="right"))
                new = written_like(fits[min(drawn_at, len(fits) - 1)][0], gap.word.text)
                edits.append(Edit(gap.word.start, gap.word.end, new))
        if not edits:
            return UNCHANGED
        found = target(record)
        return varied(record, *edited(found.text, found.spans, edits))


def _blanked(found: Target, words: list[Word]) -> str:
    """The text with its words as blanks, so that only signs between them are left."""
    text = list(found.text)
    for word in words:
        text[word.start : word.end] = " " * (word.end - word.start)
    return "".join(text)
