"""Makes new rows without words that answers must not hang on."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from tunesmith.data.methods.augmenting.left_out import left_out, pieces
from tunesmith.data.methods.augmenting.target import Target, said
from tunesmith.data.rewrite import Edit
from tunesmith.data.steps._augment import EditAugment
from tunesmith.records import Record
from tunesmith.spec.quantity import Share

NONE = "none of the words in it"


class WithoutWords(EditAugment):
    """Leaves named words out of copies of the rows that hold them, so that the rest of such a row has to be learned
    too: what `evaluate.explain` finds answers to hang on (after counterfactual data augmentation, arXiv 1909.12434).

    A word whose row says its label in no other way makes rows of which nobody could tell the label: leave it alone.
    """

    reason: ClassVar[str] = "words left out that answers must not hang on"
    near: ClassVar[bool] = True

    share: Share = Share(1.0, "")
    """New rows at the most, as a share of the rows to train on."""
    words: tuple[str, ...] = Field(min_length=1, examples=[("the",)])
    """What is left out, all of them wherever they stand; small and capital letters alike."""

    def suits(self, record: Record, folder: Path) -> str:
        return super().suits(record, folder) or ("" if self._held(said(record)) else NONE)

    def edits(self, said: Target, random: np.random.Generator) -> list[Edit]:
        return left_out(said.text, self._held(said.text))

    def _held(self, text: str) -> list[tuple[int, int]]:
        names = {word.casefold() for word in self.words}
        return [(start, end) for start, end, word in pieces(text) if word.casefold() in names]
