"""Supervised fine-tuning: learn the answers, not the prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tunesmith.errors import ModelError
from tunesmith.train.collate import causal, mask_of, pad, padded
from tunesmith.train.objectives import Batch, Loss, Objective
from tunesmith.train.readout import next_token_loss, weighted_cross_entropy

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Example
    from tunesmith.models.load import Model


class Sft(Objective):
    """Learn to answer: the loss counts the tokens of trained turns and their stop tokens."""

    need = "chat"
    head = "lm"

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target spread evenly over the vocabulary."""

    def check(self, model: Model) -> None:
        if model.family == "encoder":
            raise ModelError(
                f"{model.reference} is an encoder, and encoders cannot answer",
                where="train.objective",
                fix="use `classify` or `tag`, or a causal or encoder-decoder base",
            )

    def batch(self, examples: Sequence[Example], model: Model) -> Batch:
        device = model.device
        apart = model.family == "encoder_decoder"
        tensors = _encoder_decoder(examples, model.pad_id, device) if apart else causal(examples, device)
        return Batch(
            tensors,
            ids=[example.id for example in examples],
            num_tokens=sum(example.num_tokens for example in examples),
            num_trained=len(tensors["targets_M"]),
            count=float(tensors["weights_M"].double().sum()),
        )

    def loss(self, model: Model, batch: Batch) -> Loss:
        # Smoothing is for learning; the validation loss is that of the targets as they are.
        smoothing = self.label_smoothing if model.module.training else 0.0
        if model.family == "causal":
            return Loss(next_token_loss(model, batch.tensors, smoothing))
        tensors = batch.tensors
        logits_MV = answer_logits(model, tensors)
        return Loss(weighted_cross_entropy(logits_MV, tensors["targets_M"], tensors["weights_M"], smoothing))


def answer_logits(model: Model, tensors: dict[str, Tensor]) -> Tensor:
    """What an encoder-decoder says at every answer token, [M, V]."""
    logits_BSV = model.logits(tensors["ids_BT"], tensors["mask_BT"], tensors["answer_ids_BS"])
    return logits_BSV[tensors["answer_mask_BS"]]


def _encoder_decoder(examples: Sequence[Example], pad_id: int, device: torch.device) -> dict[str, Tensor]:
    """Prompts for the encoder, answers for the decoder; every answer token is a target."""
    answers = [np.zeros(0, np.int32) if example.answer_ids is None else example.answer_ids for example in examples]
    lengths = [len(answer) for answer in answers]
    weights_M = np.repeat([example.weight for example in examples], lengths).astype(np.float32)
    return {
        **padded(examples, pad_id, device),
        "answer_ids_BS": pad(answers, pad_id, device),
        "answer_mask_BS": mask_of(lengths, device),
        "targets_M": torch.from_numpy(np.concatenate(answers).astype(np.int64)).to(device),
        "weights_M": torch.from_numpy(weights_M).to(device),
    }
