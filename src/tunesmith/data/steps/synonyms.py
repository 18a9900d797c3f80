"""Makes new rows by replacing words with synonyms out of WordNet. English only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from tunesmith.data.methods.augmenting.noise import drawn, how_many
from tunesmith.data.methods.augmenting.synonyms import replaceable
from tunesmith.data.methods.augmenting.target import Target
from tunesmith.data.methods.augmenting.wordnet import files_of, open_wordnet
from tunesmith.data.methods.augmenting.words import words_of
from tunesmith.data.rewrite import Edit
from tunesmith.data.room import Room
from tunesmith.data.steps._augment import EditAugment
from tunesmith.records import Record
from tunesmith.spec.quantity import Share


class Synonyms(EditAugment):
    """Replaces words by synonyms of the same part of speech and in the same form (EDA, arXiv 1901.11196).

    Words whose part of speech is in doubt, names, labelled stretches and words that the answer takes up stay. English
    only: in other languages hardly a word is found.
    """

    reason: ClassVar[str] = "words replaced by synonyms"

    change: Share = Share(0.1, "")
    """Share of the words that is replaced, at least one."""
    senses: int = Field(default=1, ge=1, le=2)
    """Whether a word is taken in its commonest sense only, or in its first two."""
    wordnet: str = "bundled"
    """Where synonyms come from: `bundled`, some 3,200 common words, or a folder of WordNet's files, such as
    `/usr/share/wordnet` of Debian's package wordnet-base."""

    def files(self) -> tuple[str, ...]:
        return files_of(self.wordnet)

    def prepare(self, records: Sequence[Record], room: Room) -> None:
        open_wordnet(self.wordnet)

    def edits(self, said: Target, random: np.random.Generator) -> list[Edit]:
        free = set(said.free())
        words = words_of(said.text)
        found = [each for each in replaceable(words, open_wordnet(self.wordnet), self.senses) if each.word in free]
        places = drawn(random, how_many(self.change.value, len(words)), len(found))
        return [
            Edit(word.start, word.end, choices[int(random.integers(len(choices)))])
            for word, choices in (found[place] for place in places)
        ]
