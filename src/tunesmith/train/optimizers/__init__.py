"""Optimizers: how weights move along their gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from tunesmith.part import Part


class Optimizer(Part):
    """How weights move. `fit` sets the learning rate of every group, `lr` times its `rate`, before each step."""

    lr: float | None = Field(default=None, gt=0)
    """The highest learning rate; derived from objective, adapter and size when left out."""
    clip: float | None = Field(default=1.0, gt=0)
    """The longest gradient: a longer one is shortened to this norm; null leaves it as it is."""

    head: float = Field(default=10.0, gt=0)
    """How many times faster than the rest a classification or tagging head learns: it starts from nothing."""

    def groups(self, masters: Mapping[str, Tensor], weight_decay: float) -> list[dict[str, Any]]:
        """Parameter groups for torch: `rate` multiplies the learning rate, and vectors are spared the decay.

        Args:
            masters: fp32 weights by name; those of a head of ours begin with `head.`.
            weight_decay: of everything with two dimensions or more; biases and the gains of norms are vectors.
        """
        kinds = [(of_head, matrix) for of_head in (False, True) for matrix in (True, False)]
        found = [
            {
                "params": [
                    weight
                    for name, weight in masters.items()
                    if (name.startswith("head.") == of_head) and ((weight.ndim >= 2) == matrix)
                ],
                "weight_decay": weight_decay if matrix else 0.0,
                "rate": self.head if of_head else 1.0,
            }
            for of_head, matrix in kinds
        ]
        return [group for group in found if group["params"]]

    @abstractmethod
    def build(self, masters: Mapping[str, Tensor]) -> torch.optim.Optimizer:
        """A torch optimizer over these fp32 weights, by name. `lr` is not None any more."""
