"""Automated readability index (Senter and Smith 1967): the school year in which a text can be read, by characters.

Characters are all but blanks, and words whatever stands between blanks, as textstat counts them.
"""

from __future__ import annotations

from tunesmith.metrics._readability import Counts, Readability


class AutomatedReadability(Readability):
    """The school year that answers are for, by the characters of their words."""

    def of_counts(self, counts: Counts) -> float:
        return 4.71 * counts.characters / len(counts.text.split()) + 0.5 * counts.words_per_sentence - 21.43
