"""Token classification: a tag for every token that is asked about.

Shapes: B rows, T tokens, N tagged tokens, C tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field

from tunesmith.errors import DataError
from tunesmith.train.collate import read
from tunesmith.train.objectives import Batch, Loss, Objective
from tunesmith.train.readout import weighted_cross_entropy

if TYPE_CHECKING:
    from tunesmith.data.tokenize import Example
    from tunesmith.models.load import Model


class Tag(Objective):
    """Learn the tag of each token, such as the names of people and places."""

    need = "spans"
    head = "tag"

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target spread evenly over all tags."""

    def batch(self, examples: Sequence[Example], model: Model) -> Batch:
        tensors = read(examples, model.pad_id, model.device)
        width = tensors["ids_BT"].shape[1]
        tags = [_tags(example) for example in examples]
        asked = [np.flatnonzero(row >= 0) for row in tags]
        positions_N = np.concatenate([found + row * width for row, found in enumerate(asked)])
        targets_N = np.concatenate([row[found] for row, found in zip(tags, asked, strict=True)])
        weights_N = np.repeat([example.weight for example in examples], [len(found) for found in asked])
        return Batch(
            {
                **tensors,
                "positions_N": torch.from_numpy(positions_N).to(model.device),
                "targets_N": torch.from_numpy(targets_N.astype(np.int64)).to(model.device),
                "weights_N": torch.from_numpy(weights_N.astype(np.float32)).to(model.device),
            },
            ids=[example.id for example in examples],
            num_tokens=sum(example.num_tokens for example in examples),
            num_trained=len(targets_N),
            count=float(weights_N.sum()),
        )

    def loss(self, model: Model, batch: Batch) -> Loss:
        tensors = batch.tensors
        logits_BTC = model.logits(tensors["ids_BT"], tensors["mask_BT"])
        logits_NC = logits_BTC.flatten(0, 1)[tensors["positions_N"]]
        targets_N, weights_N = tensors["targets_N"], tensors["weights_N"]
        smoothing = self.label_smoothing if model.module.training else 0.0
        right_N = (logits_NC.detach().argmax(dim=1) == targets_N).float()
        return Loss(
            weighted_cross_entropy(logits_NC, targets_N, weights_N, smoothing),
            {"accuracy": (right_N * weights_N).sum()},
        )


def _tags(example: Example) -> np.ndarray:
    if example.tags is None:
        raise DataError(
            "a row has no tags to learn", where=f"row {example.id}", fix="use rows with spans, or another objective"
        )
    return example.tags
