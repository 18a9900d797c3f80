"""An objective built on one of Tunesmith's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from tunesmith.train.objectives import Batch, Loss
from tunesmith.train.objectives import sft as own

if TYPE_CHECKING:
    from tunesmith.models.model import Model


class Gentle(own.Sft):
    """Supervised fine-tuning with a smaller loss."""

    scale: float = Field(default=0.5, gt=0)
    """What the loss is multiplied by."""

    def loss(self, model: Model, batch: Batch) -> Loss:
        loss = super().loss(model, batch)
        return Loss(loss.sum * self.scale, loss.metrics)
