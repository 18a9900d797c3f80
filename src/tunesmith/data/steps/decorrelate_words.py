"""Makes new rows in which words say nothing of the label."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from tunesmith.data.methods.augmenting.noise import left_out
from tunesmith.data.methods.augmenting.target import Target
from tunesmith.data.methods.augmenting.words import pieces
from tunesmith.data.rewrite import Edit
from tunesmith.data.steps._augment import EditAugment
from tunesmith.spec.quantity import Share


class DecorrelateWords(EditAugment):
    """Leaves words out of copies of the rows that hold them, and puts one into copies of rows that hold none, so that
    the label hangs on the rest: for words that `evaluate.explain` finds answers to hang on (after counterfactually
    augmented data, Kaushik et al. 2020, arXiv 1909.12434).

    Where nothing else in a row says its label, such copies cannot be told apart by anybody: leave true reasons alone.
    """

    reason: ClassVar[str] = "words left out or put in that say nothing of the label"
    near: ClassVar[bool] = True

    share: Share = Share(1.0, "")
    """New rows at the most, as a share of the rows to train on; with every row copied the words are evened out."""
    words: tuple[str, ...] = Field(min_length=1, examples=[("the",)])
    """The words; small and capital letters alike."""
    put_in: bool = True
    """Whether rows without the words are copied with one of them, drawn for each, somewhere between two words."""

    def edits(self, said: Target, random: np.random.Generator) -> list[Edit]:
        names = {word.casefold() for word in self.words}
        found = pieces(said.text)
        held = [(start, end) for start, end, word in found if word.casefold() in names]
        if held or not self.put_in:
            return left_out(said.text, held)
        word = self.words[int(random.integers(len(self.words)))]
        at = int(random.integers(len(found) + 1))
        if at == len(found):
            return [Edit(len(said.text), len(said.text), f" {word}")]
        return [Edit(found[at].start, found[at].start, f"{word} ")]
