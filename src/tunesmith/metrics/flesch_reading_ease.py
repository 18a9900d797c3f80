"""Flesch reading ease (Flesch 1948): about 100 for what a child reads, below 30 for what takes a university."""

from __future__ import annotations

from typing import ClassVar, Literal

from tunesmith.metrics._readability import Counts, Readability


class FleschReadingEase(Readability):
    """How easily answers read, by the lengths of their sentences and words."""

    better: ClassVar[Literal["higher", "lower"]] = "higher"

    def of_counts(self, counts: Counts) -> float:
        return 206.835 - 1.015 * counts.words_per_sentence - 84.6 * counts.syllables_per_word
