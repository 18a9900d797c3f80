"""Next-token prediction on running text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from tunesmith.errors import ModelError
from tunesmith.train.collate import causal
from tunesmith.train.objectives import Batch, Loss, Objective
from tunesmith.train.readout import next_token_loss

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Example
    from tunesmith.models.load import Model


class Pretrain(Objective):
    """Learn to continue text: every token is predicted from those before it."""

    need = "text"
    head = "lm"

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target spread evenly over the vocabulary."""

    def check(self, model: Model) -> None:
        if model.family != "causal":
            raise ModelError(
                f"{model.reference} is an {model.family.replace('_', '-')} model, and `pretrain` predicts next tokens",
                where="train.objective",
                fix="use a causal base, or an objective this base learns by: "
                + ("sft" if model.family == "encoder_decoder" else "classify or tag"),
            )

    def batch(self, examples: Sequence[Example], model: Model) -> Batch:
        tensors = causal(examples, model.device)
        return Batch(
            tensors,
            ids=[example.id for example in examples],
            num_tokens=sum(example.num_tokens for example in examples),
            num_trained=len(tensors["targets_M"]),
            count=float(tensors["weights_M"].double().sum()),
        )

    def loss(self, model: Model, batch: Batch) -> Loss:
        return Loss(next_token_loss(model, batch.tensors, self.label_smoothing if model.module.training else 0.0))
