"""Coleman-Liau index (Coleman and Liau 1975): the school year in which a text can be read, by its words' letters."""

from __future__ import annotations

from tunesmith.metrics._readability import Counts, Readability


class ColemanLiau(Readability):
    """The school year that answers are for, by the letters of their words."""

    def of_counts(self, counts: Counts) -> float:
        letters, sentences = (100 * count / len(counts.words) for count in (counts.letters, counts.sentences))
        return 0.058 * letters - 0.296 * sentences - 15.8
