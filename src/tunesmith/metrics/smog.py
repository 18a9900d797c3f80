"""SMOG grade (McLaughlin 1969): the school year in which a text can be read, by its long words.

It was made for samples of thirty sentences; of fewer it is a rough figure.
"""

from __future__ import annotations

import math

from tunesmith.metrics._readability import Counts, Readability


class Smog(Readability):
    """The school year that answers are for, by their long words."""

    def of_counts(self, counts: Counts) -> float:
        return 1.043 * math.sqrt(30 * counts.long_words / counts.sentences) + 3.1291
