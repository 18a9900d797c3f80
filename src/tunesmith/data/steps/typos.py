"""Makes new rows with slips of the keyboard."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from tunesmith.data.methods.augmenting.noise import in_words, neighbours, typo
from tunesmith.data.methods.augmenting.target import Target
from tunesmith.data.rewrite import Edit
from tunesmith.data.steps._augment import EditAugment
from tunesmith.spec.quantity import Share


class Typos(EditAugment):
    """Puts a slip into words of four letters and more: the key beside, two letters swapped, one left out or doubled."""

    reason: ClassVar[str] = "slips of the keyboard put in"

    change: Share = Share(0.1, "")
    """Share of the words with a slip, at least one."""
    layout: Literal["qwerty", "qwertz", "azerty"] = "qwerty"
    """Whose keys stand beside each other."""

    def edits(self, said: Target, random: np.random.Generator) -> list[Edit]:
        keys = neighbours(self.layout)
        return in_words(said.free(), random, self.change.value, lambda word: typo(word, keys, random))
