"""ROUGE-1 F-measure as the package rouge-score computes it, averaged over rows.

Words are runs of a-z and 0-9, so texts in other scripts hold no words and score 0; use chrf for them.
With several right answers the best one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tunesmith.metrics import Mean, Need
from tunesmith.records import Prediction


class Rouge1(Mean):
    """Overlap of single words with the right answer."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    measured: ClassVar[str] = "rouge1"
    stemmer: bool = False
    """Whether English endings are cut off before words are compared."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        from rouge_score.rouge_scorer import RougeScorer  # brings nltk, a second of import

        scorer = RougeScorer([self.measured], use_stemmer=self.stemmer)
        return [
            float(scorer.score_multi(list(row.references), row.output)[self.measured].fmeasure) for row in predictions
        ]
