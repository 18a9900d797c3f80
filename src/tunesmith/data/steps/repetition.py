"""Drops rows that say the same again and again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tunesmith.data.methods.quality import repetition
from tunesmith.data.methods.quality.said import judged
from tunesmith.data.methods.quality.words import words
from tunesmith.data.room import Room
from tunesmith.data.steps._bounded import Bound, BoundedStep, gathered
from tunesmith.records import Record


class Repetition(BoundedStep):
    """Leaves out rows in which a text repeats itself, by the ratios of MassiveText (Gopher, arXiv 2112.11446), which
    RefinedWeb (arXiv 2306.01116) uses too, and by how far it compresses.

    The limits of those papers, 0.2, 0.2 and 0.15, are for long pages of a crawl; on code, sums and other short texts
    they drop what is good, so the defaults are wider. Texts of a few words repeat themselves without fault and are
    kept.
    """

    min_words: int = Field(default=50, ge=1)
    """Texts of fewer words are kept; MassiveText holds none."""
    duplicate_lines: float = Field(default=0.3, ge=0, le=1)
    """The largest share of characters in lines that stood above in the same text."""
    common_ngrams: float = Field(default=0.75, ge=0, le=1)
    """The largest share of characters in the commonest run of two words; for three and four words nine and eight tenths
    of it."""
    duplicate_ngrams: float = Field(default=0.6, ge=0, le=1)
    """The largest share of characters in runs of five words that stood before in the same text; for longer runs less,
    down to two thirds of it for ten words."""
    compressed: float = Field(default=0.15, ge=0, le=1)
    """The smallest size compressed by zlib, as a share of the size."""

    def bounds(self, values_NK: npt.NDArray[np.float64]) -> tuple[Bound, ...]:
        return (
            Bound("share in repeated lines", high=self.duplicate_lines, above="repeats its lines"),
            Bound("share in the commonest run of words", high=self.common_ngrams, above="repeats a few words"),
            Bound("share in repeated runs of words", high=self.duplicate_ngrams, above="repeats its sentences"),
            Bound("compressed share", low=self.compressed, below="compresses to almost nothing"),
        )

    def measure(self, records: Sequence[Record], room: Room) -> npt.NDArray[np.float64]:
        return gathered(room.look(self._figures, records), len(records), 4)

    def _figures(self, record: Record) -> Sequence[float]:
        """Those of the text that repeats itself most."""
        worst = [np.nan] * 4
        for text in judged(record):
            said = words(text)
            if len(said) < self.min_words:
                continue
            found = (
                repetition.duplicate_lines(text),
                repetition.common_ngrams(said),
                repetition.duplicate_ngrams(said),
                repetition.compressed_share(text),
            )
            worst = [*(np.fmax(a, b) for a, b in zip(worst[:3], found[:3], strict=True)), np.fmin(worst[3], found[3])]
        return worst
