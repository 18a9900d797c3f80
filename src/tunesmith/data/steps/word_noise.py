"""Makes new rows by dropping, moving and adding words."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from tunesmith.data.methods.augmenting.noise import deletions, drawn, how_many, insertions, swaps
from tunesmith.data.methods.augmenting.synonyms import replaceable
from tunesmith.data.methods.augmenting.target import Target
from tunesmith.data.methods.augmenting.wordnet import open_wordnet
from tunesmith.data.methods.augmenting.words import words_of
from tunesmith.data.rewrite import Edit
from tunesmith.data.steps._augment import EditAugment
from tunesmith.spec.quantity import Share

Operation = Literal["insert", "swap", "delete"]


class WordNoise(EditAugment):
    """Does one thing, drawn for each new row: leaves words out, lets two words change places, or adds a synonym of one
    of its words somewhere (EDA, arXiv 1901.11196). Made for models that look at words more than at their order.

    Where nothing can be added, as in languages other than English, it leaves words out.
    """

    reason: ClassVar[str] = "words dropped, moved or added"

    operations: tuple[Operation, ...] = Field(default=("insert", "swap", "delete"), min_length=1)
    """What may be done."""
    change: Share = Share(0.1, "")
    """Share of the words it is done to, at least one."""

    def edits(self, said: Target, random: np.random.Generator) -> list[Edit]:
        free = said.free()
        if len(free) < 2:
            return []
        share = self.change.value
        operation = self.operations[int(random.integers(len(self.operations)))]
        if operation == "swap":
            return swaps(free, random, share)
        fresh = self._synonyms(said, random) if operation == "insert" else []
        return insertions(free, fresh, random) if fresh else deletions(said.text, free, random, share)

    def _synonyms(self, said: Target, random: np.random.Generator) -> list[str]:
        words = words_of(said.text)
        found = replaceable(words, open_wordnet("bundled"), 1)
        places = drawn(random, how_many(self.change.value, len(words)), len(found))
        choices = [found[place].choices for place in places]
        return [each[int(random.integers(len(each)))].lower() for each in choices]
