"""Formulas that tell from lengths of words and sentences how hard a text is to read. English.

The score is the mean over rows of each answer's own figure; an answer without words has none. What is counted, and
how, stands in `_words`: the formulas without syllables equal the package textstat's, those with syllables differ from
it by the words that a rule and a dictionary do not agree on.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Mean, Need
from tunesmith.metrics._words import count_sentences, syllables, without_marks, words
from tunesmith.records import Prediction

LONG = 3
"""From so many syllables on a word is a long one."""


@dataclass(frozen=True)
class Counts:
    """What a text's formulas are made of."""

    text: str
    words: list[str]
    sentences: int

    @property
    def words_per_sentence(self) -> float:
        return len(self.words) / self.sentences

    @property
    def syllables_per_word(self) -> float:
        return sum(map(syllables, self.words)) / len(self.words)

    @property
    def long_words(self) -> int:
        return sum(syllables(word) >= LONG for word in self.words)

    @property
    def letters(self) -> int:
        return len(without_marks(self.text))

    @property
    def characters(self) -> int:
        """Punctuation included."""
        return len("".join(self.text.split()))


class Readability(Mean):
    """A formula of a text's lengths."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    lowest: ClassVar[float] = float("-inf")
    highest: ClassVar[float] = float("inf")

    @abstractmethod
    def of_counts(self, counts: Counts) -> float:
        """The figure of a text that holds a word."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        counted = [Counts(row.output, words(row.output), count_sentences(row.output)) for row in predictions]
        return [self.of_counts(counts) if counts.words else np.nan for counts in counted]
