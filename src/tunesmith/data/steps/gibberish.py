"""Drops rows whose letters make no words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tunesmith.data.methods.quality import gibberish
from tunesmith.data.methods.quality.gibberish import Letters
from tunesmith.data.methods.quality.said import judged
from tunesmith.data.room import Room
from tunesmith.data.steps._bounded import Bound, BoundedStep, gathered
from tunesmith.records import Record

_LEARNED_FROM = 20_000
"""Rows, spread over all, from which it is learned how letters follow each other."""


class Gibberish(BoundedStep):
    """Leaves out rows that nobody wrote to be read: shuffled letters, mashed keys, encoded data, rows of symbols.

    How letters follow each other is learned from the rows themselves, script by script, so rows in a language are not
    hurt where that language is among them; scripts that the rows hold too little of, and Chinese, Japanese and Korean,
    are not judged by their letters. All turns of a chat are taken together.
    """

    min_likelihood: float = Field(default=0.2, le=1)
    """Drop rows whose letters follow each other less likely: 1 is a usual row, 0 one whose letters make no words. Below
    0.5 a row is set against its own letters shuffled, so that one in another language keeps its distance."""
    max_strange: float = Field(default=0.4, ge=0, le=1)
    """Drop rows of whose letters and digits a larger share is in words that are none: without vowels, typed along a row
    of keys, endless, or of letters and digits in turns."""
    max_symbols: float = Field(default=0.6, ge=0, le=1)
    """Drop rows of whose characters a larger share is punctuation and symbols; emoji count as such."""
    max_digits: float = Field(default=0.8, ge=0, le=1)
    """Drop rows of whose characters a larger share is digits."""
    max_inner_capitals: float = Field(default=0.18, ge=0, le=1)
    """Drop rows where a larger share of the letters are capitals right after a small one in long words, as in encoded
    data."""
    min_characters: int = Field(default=5, ge=1)
    """Shorter rows are kept."""

    def bounds(self, values_NK: npt.NDArray[np.float64]) -> tuple[Bound, ...]:
        return (
            Bound("share in strange words", high=self.max_strange, above="words that are none"),
            Bound("likelihood of the letters", low=self.min_likelihood, below="letters that make no words"),
            Bound("share of symbols", high=self.max_symbols, above="mostly symbols"),
            Bound("share of digits", high=self.max_digits, above="mostly digits"),
            Bound("share of inner capitals", high=self.max_inner_capitals, above="encoded data"),
        )

    def measure(self, records: Sequence[Record], room: Room) -> npt.NDArray[np.float64]:
        every = max(1, len(records) // _LEARNED_FROM)
        letters = gibberish.learned(_texts(records, every), room.seed)
        if letters.scales:
            room.figure(
                "scripts", {name: {"usual": u, "shuffled": s} for name, (u, s) in sorted(letters.scales.items())}
            )
        else:
            room.note("too few words to learn how letters follow each other: rows are judged without")
        return gathered(room.look(partial(self._figures, letters=letters), records), len(records), 5)

    def _figures(self, record: Record, letters: Letters) -> Sequence[float]:
        said = "\n".join(judged(record))
        if len(said.strip()) < self.min_characters:
            return [np.nan] * 5
        long = len(said) >= gibberish.MIN_LETTERS
        return (
            gibberish.strange_words(said),
            gibberish.likelihood(said, letters),
            gibberish.symbol_share(said),
            gibberish.digit_share(said),
            gibberish.inner_capitals(said) if long else np.nan,
        )


def _texts(records: Sequence[Record], every: int) -> Iterator[str]:
    for number, record in enumerate(records):
        if number % every == 0:
            yield "\n".join(judged(record))
