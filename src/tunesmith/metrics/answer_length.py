"""Mean length of the answers, in words or characters; an empty answer has length 0. Shorter is counted as better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from tunesmith.metrics import Mean, Need
from tunesmith.records import Prediction

Unit = Literal["word", "character"]


class AnswerLength(Mean):
    """How long answers are."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    highest: ClassVar[float] = float("inf")
    per: Unit = "word"
    """What lengths are counted in: words between blanks, or characters."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        return [float(length(row.output, self.per)) for row in predictions]


def length(text: str, per: Unit) -> int:
    """Of a text, blanks around it aside."""
    return len(text.split()) if per == "word" else len(text.strip())
