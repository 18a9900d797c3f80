"""Votes as a trained classifier does, where it is sure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tunesmith.data.methods.votes.functions import LabelFunction
from tunesmith.data.rewrite import texts
from tunesmith.data.room import Room
from tunesmith.errors import DataError, did_you_mean
from tunesmith.records import Record

_PIECE = 256


class ModelVote(LabelFunction):
    """Votes for what a trained classifier says, where it is sure enough."""

    model: str = Field(min_length=1, examples=["run:triage/1"])
    """Reference of a classifier: `run:NAME/N` or a folder."""
    above: float = Field(default=0.9, ge=0, le=1)
    """The least probability of the label."""
    label: str | None = None
    """Vote for this label only; left out, for whichever is the likeliest."""

    def models(self) -> tuple[str, ...]:
        return (self.model,)

    def votes(self, records: Sequence[Record], room: Room) -> Iterator[str | None]:
        classifier = room.models.classifier(self.model)
        if self.label is not None and self.label not in classifier.labels:
            raise DataError(
                f"the model {self.model!r} does not know the label {self.label!r}"
                f"{did_you_mean(self.label, classifier.labels)}",
                where=f"data.steps: label_functions: {self.name}",
                fix=f"use one of: {', '.join(classifier.labels)}",
            )
        piece: list[str] = []
        for record in records:
            piece.append("\n".join(texts(record)))
            if len(piece) == _PIECE:
                yield from self._voted(classifier.labels, classifier.probabilities(piece))
                piece = []
        if piece:
            yield from self._voted(classifier.labels, classifier.probabilities(piece))

    def _voted(self, labels: Sequence[str], probabilities_NC: npt.NDArray[np.float64]) -> Iterator[str | None]:
        for row_C in probabilities_NC:
            place = int(row_C.argmax()) if self.label is None else labels.index(self.label)
            yield labels[place] if row_C[place] >= self.above else None
