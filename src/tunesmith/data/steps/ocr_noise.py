"""Makes new rows with letters misread, as by a scanner."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tunesmith.data.methods.augmenting.noise import in_words, misread
from tunesmith.data.methods.augmenting.target import Target
from tunesmith.data.rewrite import Edit
from tunesmith.data.steps._augment import EditAugment
from tunesmith.spec.quantity import Share


class OcrNoise(EditAugment):
    """Takes letters for others that look alike: `rn` and `m`, `O` and `0`, `l` and `1`."""

    reason: ClassVar[str] = "letters misread"

    change: Share = Share(0.1, "")
    """Share of the words with a letter misread, at least one."""

    def edits(self, said: Target, random: np.random.Generator) -> list[Edit]:
        return in_words(said.free(), random, self.change.value, lambda word: misread(word, random))
