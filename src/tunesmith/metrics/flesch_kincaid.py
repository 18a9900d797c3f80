"""Flesch-Kincaid grade (Kincaid et al. 1975): the school year, in the US, in which a text can be read."""

from __future__ import annotations

from tunesmith.metrics._readability import Counts, Readability


class FleschKincaid(Readability):
    """The school year that answers are for, by the lengths of their sentences and words."""

    def of_counts(self, counts: Counts) -> float:
        return 0.39 * counts.words_per_sentence + 11.8 * counts.syllables_per_word - 15.59
