"""Token F1 as SQuAD scores answers: words shared with the right answer, averaged over rows.

Words are compared in SQuAD 1.1's normal form. Two empty answers agree (SQuAD 2.0's rule); with several
right answers the best one counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from tunesmith.metrics import Mean, Need
from tunesmith.metrics.exact_match import normalise
from tunesmith.records import Prediction


class TokenF1(Mean):
    """Harmonic mean of the shares of words shared."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        return [max(_f1(row.output, reference) for reference in row.references) for row in predictions]


def _f1(answer: str, reference: str) -> float:
    given, wanted = normalise(answer).split(), normalise(reference).split()
    if not given or not wanted:
        return float(given == wanted)
    return 2 * (Counter(given) & Counter(wanted)).total() / (len(given) + len(wanted))
