"""A run's model that labels texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tunesmith.errors import ModelError
from tunesmith.models.inference.score import classify
from tunesmith.models.load import open_model
from tunesmith.models.roles.codec import MakeCodec
from tunesmith.models.roles.limits import longest_row
from tunesmith.models.roles.opening import to_fastest
from tunesmith.records import Record


class LocalClassifier:
    """Labels texts with a run's classification head, asked as it was trained: longer texts lose their end.

    Args:
        reference: `run:NAME/N`, or a folder of a model that Tunesmith saved.
        workspace: the folder that holds `runs/`.
        codec: makes the codec of its tokenizer.
        batch: texts computed at once.

    Raises:
        ModelError: it cannot be opened, or has no classification head.
    """

    def __init__(self, reference: str, *, workspace: Path, codec: MakeCodec, batch: int = 32) -> None:
        self.model, self.batch = open_model(reference, workspace=workspace), batch
        if self.model.head_kind != "classify":
            raise ModelError(
                "the model has no classification head",
                where=reference,
                fix="name a run that was trained with the objective classify: run:NAME/N",
            )
        to_fastest(self.model)
        self.labels = self.model.labels
        self.codec = codec(
            self.model.tokenizer,
            need="label",
            family=self.model.family,
            max_length=longest_row(reference, workspace, self.model.context),
            too_long="truncate",
            labels=self.labels,
            multi_label=self.model.multi_label,
        )

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """[N, C], in the order of `labels`; the same for all labels where a text holds nothing to read."""
        records = [Record("", "", text=text, labels=self.labels[:1]) for text in texts]
        found = self.codec.encode_many(records)
        shares_NC = np.full((len(texts), len(self.labels)), 1 / len(self.labels))
        if found.examples:
            shares_NC[found.places] = classify(self.model, found.examples, batch=self.batch)[0]
        return shares_NC
