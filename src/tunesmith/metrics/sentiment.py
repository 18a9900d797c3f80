"""Sentiment: how positive answers are, as a local classifier says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from tunesmith.metrics import Mean, Need
from tunesmith.metrics._classifier import ByClassifier
from tunesmith.records import Prediction


class Sentiment(ByClassifier, Mean):
    """The classifier's probability that an answer is positive."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    classifier: str = Field(min_length=1, examples=["run:sentiment/1"])
    """A model that tells positive texts from others, `run:NAME/N`."""
    label: str = "positive"
    """What the classifier calls them."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        return self.likely([row.output for row in predictions])
