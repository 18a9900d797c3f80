"""TER of the whole corpus, in percent of the right answers' words, as sacrebleu computes it (Snover et al. 2006).

Edits are insertions, deletions, substitutions and shifts of phrases. With several right answers a row takes the edits
to the nearest of them, and their mean length. Above 100 more is to be mended than there should be words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.metrics.bleu import sacrebleu_statistics
from tunesmith.records import Prediction


class Ter(Metric):
    """Edits that turn the answers into right ones, for every hundred words."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    highest: ClassVar[float] = float("inf")
    case_sensitive: bool = False
    """Whether another case is an edit."""
    normalized: bool = False
    """Whether punctuation is parted from words first, as tercom does."""
    punctuation: bool = True
    """Whether punctuation counts."""
    asian: bool = False
    """Whether Chinese and Japanese characters are parted too, where `normalized` is set."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 2]: edits, and words of the right answers.
        from sacrebleu.metrics.ter import TER

        counter = TER(
            normalized=self.normalized,
            no_punct=not self.punctuation,
            asian_support=self.asian,
            case_sensitive=self.case_sensitive,
        )
        return sacrebleu_statistics(counter, predictions).reshape(-1, 2)

    def value(self, totals: Floats) -> Floats:
        edits, words = totals[..., 0], totals[..., 1]
        # Where nothing should be said, saying anything is all wrong.
        score: Floats = 100 * ratio(edits, words, empty=0.0) + 100.0 * ((words == 0) & (edits > 0))
        return score
