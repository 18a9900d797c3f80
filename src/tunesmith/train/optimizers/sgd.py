"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator

from tunesmith.train.optimizers import Group, Optimizer


class Sgd(Optimizer):
    """Plain gradient descent with momentum. Transformers learn slowly by it, and need far higher rates than Adam."""

    pace = 100.0
    state_bytes = 4.0

    momentum: float = Field(default=0.9, ge=0, lt=1)
    """The share of the last move that is made again."""
    nesterov: bool = False
    """Looks ahead along the momentum (Nesterov's form)."""
    weight_decay: float = Field(default=0.0, ge=0)
    """The L2 penalty: this share of each weight is added to its gradient; biases and norms are spared."""

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov looks ahead along the momentum; give momentum more than 0")
        return self

    def make(self, groups: list[Group]) -> torch.optim.Optimizer:
        # Fused kernels and momentum buffers that are not there yet do not go together when a state is loaded.
        return torch.optim.SGD(groups, lr=self.lr or 0.0, momentum=self.momentum, nesterov=self.nesterov)
