"""METEOR, averaged over rows, as NLTK computes it (Banerjee and Lavie 2005; Lavie and Agarwal 2007).

Words are matched as they are, then by their stem (Porter's), then by being synonyms in WordNet, each step taking what
the one before has left. Precision and recall of the matches are joined, recall weighing nine times, and a penalty
counts into how many runs the matches fall. Texts are cut at blanks, with case ignored; with several right answers the
best one counts. English only, but for exact matches.

NLTK's scores rest on the whole of WordNet 3.0. With the bundled excerpt of its commonest words, or none, fewer
synonyms are found and scores are somewhat lower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from tunesmith.metrics import Mean, Need
from tunesmith.metrics._wordnet import open_words
from tunesmith.records import Prediction


class Meteor(Mean):
    """Words matched with the right answer, also by stem and synonym, in how few runs."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    for_contract: ClassVar[Mapping[str, Any]] = {"wordnet": "bundled"}
    wordnet: str = Field(default="installed", min_length=1)
    """Where synonyms come from: WordNet's files as `installed` in `/usr/share/wordnet`, those in a folder, the
    `bundled` excerpt of them, or `none`."""
    alpha: float = Field(default=0.9, ge=0, le=1)
    """How much recall weighs against precision."""
    beta: float = Field(default=3.0, ge=0)
    """How steeply the penalty rises with the number of runs."""
    gamma: float = Field(default=0.5, ge=0, le=1)
    """The largest penalty."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        from nltk.translate.meteor_score import meteor_score

        words = open_words(self.wordnet) if predictions else None
        return [
            meteor_score(
                [reference.split() for reference in row.references],
                row.output.split(),
                wordnet=words,
                alpha=self.alpha,
                beta=self.beta,
                gamma=self.gamma,
            )
            for row in predictions
        ]
