"""Faithfulness: what share of what answers say is held up by the source they were asked about.

The source is the conversation before the answer, or a column. What is held up is counted, over all rows together, in

    statements   sentences, or lines: all of a statement's numbers and names stand in the source, and at least
                 `threshold` of its content words do; one without any of these is not counted
    words        content words, by their stem (Porter's); function words are not counted
    numbers      numbers in digits, by their value; the source may spell those to twenty, and tens, in words
    names        runs of words with a capital inside of a sentence, all of whose words stand in the source

These look at spelling. Said in other words, a true statement is not held up; put together wrongly out of the source's
words, a false one is. It is made for English summaries and answers close to a text. A local classifier that tells what
follows from a text sees more: a run trained on rows of a source, a blank line and a statement, as they are put to it
here. A statement is then held up from a probability of `label` on, whatever its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tunesmith.metrics import Floats, Need, ratio
from tunesmith.metrics._classifier import ByClassifier
from tunesmith.metrics._support import Source, pieces
from tunesmith.metrics._words import sentences
from tunesmith.records import Prediction, Record


class Faithfulness(ByClassifier):
    """Share of what answers say that their source holds up."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    unit_of: Literal["statements", "words", "numbers", "names"] = "statements"
    """What is counted."""
    threshold: float = Field(default=0.5, gt=0, le=1)
    """What share of a statement's content words must stand in the source; of a classifier, from which probability on a
    statement is held up."""
    source: str | None = None
    """The column that holds the source; what comes before the answer when left out."""
    classifier: str | None = None
    """A model that tells what follows from a text, `run:NAME/N`, in place of spelling; counts statements."""
    label: str = "entailment"
    """What the classifier calls a statement that follows."""

    @model_validator(mode="after")
    def _counts_what_it_can(self) -> Self:
        if self.classifier is not None and self.unit_of != "statements":
            raise ValueError(f"a classifier tells statements; it cannot count {self.unit_of}")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """That of the source, where it is one."""
        return (self.source,) if self.source else ()

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 2]: how many are held up, and of how many.
        sources = [_source(row.record, self.source) for row in predictions]
        if self.classifier is not None:
            held = self._followed(predictions, sources)
        else:
            held = [self._spelled(row.output, Source(source)) for row, source in zip(predictions, sources, strict=True)]
        return np.array([(sum(row), len(row)) for row in held], dtype=np.float64).reshape(-1, 2)

    def value(self, totals: Floats) -> Floats:
        return ratio(totals[..., 0], totals[..., 1])

    def _spelled(self, answer: str, source: Source) -> list[bool]:
        """Of each thing counted, whether the source holds it."""
        if not source.text.strip():
            return []
        if self.unit_of != "statements":
            return [source.holds(self.unit_of, piece) for piece in pieces(answer, self.unit_of)]
        found = [_shares(statement, source) for statement in sentences(answer)]
        return [exact and share >= self.threshold for share, exact, counted in found if counted]

    def _followed(self, predictions: Sequence[Prediction], sources: Sequence[str]) -> list[list[bool]]:
        asked = [
            [f"{source}\n\n{statement}" for statement in sentences(row.output)] if source.strip() else []
            for row, source in zip(predictions, sources, strict=True)
        ]
        texts = [text for of_row in asked for text in of_row]
        sure = iter(self.likely(texts))
        return [[next(sure) >= self.threshold for _ in of_row] for of_row in asked]


def _shares(statement: str, source: Source) -> tuple[float, bool, bool]:
    """(the share of content words that the source has, whether it has all numbers and names, whether there are any)."""
    words = [source.holds("words", piece) for piece in pieces(statement, "words")]
    exact = [source.holds(kind, piece) for kind in ("numbers", "names") for piece in pieces(statement, kind)]
    return (sum(words) / len(words) if words else 1.0), all(exact), bool(words or exact)


def _source(record: Record, column: str | None) -> str:
    if column is not None:
        return record.slices.get(column, "")
    return "\n\n".join(turn.content for turn in record.prompt) or record.text or ""
