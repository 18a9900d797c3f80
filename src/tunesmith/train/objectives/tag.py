"""Token classification: a tag for every token that is asked about.

Shapes: N tokens of all rows, M tagged tokens, C tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field

from tunesmith.errors import DataError
from tunesmith.models.packing.rows import head_of_rows
from tunesmith.train.collate import layout_of, read
from tunesmith.train.objectives import Batch, Loss, Objective
from tunesmith.train.readout import weighted_cross_entropy

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Example
    from tunesmith.models.load import Model


class Tag(Objective):
    """Learn the tag of each token, such as the names of people and places."""

    need = "spans"
    head = "tag"

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target spread evenly over all tags."""

    def batch(self, examples: Sequence[Example], model: Model) -> Batch:
        tags_N = np.concatenate([_tags(example) for example in examples])
        asked = [np.flatnonzero(_tags(example) >= 0) for example in examples]
        positions_M = np.flatnonzero(tags_N >= 0)
        targets_M = tags_N[positions_M]
        weights_M = np.repeat([example.weight for example in examples], [len(found) for found in asked])
        return Batch(
            {
                **read(examples, model.device),
                "positions_M": torch.from_numpy(positions_M).to(model.device),
                "targets_M": torch.from_numpy(targets_M.astype(np.int64)).to(model.device),
                "weights_M": torch.from_numpy(weights_M.astype(np.float32)).to(model.device),
            },
            ids=[example.id for example in examples],
            num_tokens=sum(example.num_tokens for example in examples),
            num_trained=len(targets_M),
            count=float(weights_M.sum()),
        )

    def loss(self, model: Model, batch: Batch) -> Loss:
        tensors = batch.tensors
        logits_MC = head_of_rows(model, tensors["ids_N"], layout_of(tensors))[tensors["positions_M"]]
        targets_M, weights_M = tensors["targets_M"], tensors["weights_M"]
        smoothing = self.label_smoothing if model.module.training else 0.0
        right_M = (logits_MC.detach().argmax(dim=1) == targets_M).float()
        return Loss(
            weighted_cross_entropy(logits_MC, targets_M, weights_M, smoothing),
            {"accuracy": (right_M * weights_M).sum()},
        )


def _tags(example: Example) -> np.ndarray:
    if example.tags is None:
        raise DataError(
            "a row has no tags to learn", where=f"row {example.id}", fix="use rows with spans, or another objective"
        )
    return example.tags
