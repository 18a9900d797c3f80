"""Gunning fog index (Gunning 1952): the years of schooling a text takes, by its sentences and its long words.

A long word has three syllables or more. Gunning leaves out names and familiar words, which takes a list of them
(textstat has Dale and Chall's); here every long word counts, and figures are the higher for it.
"""

from __future__ import annotations

from tunesmith.metrics._readability import Counts, Readability


class GunningFog(Readability):
    """The years of schooling that answers take, by their sentences and long words."""

    def of_counts(self, counts: Counts) -> float:
        return 0.4 * (counts.words_per_sentence + 100 * counts.long_words / len(counts.words))
