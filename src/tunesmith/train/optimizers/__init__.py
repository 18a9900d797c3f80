"""Optimizers: how weights move along their gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from tunesmith.part import Part


class Optimizer(Part):
    """How weights move. `fit` sets the learning rate of every group before each step."""

    lr: float | None = Field(default=None, gt=0)
    """The highest learning rate; derived from objective, adapter and size when left out."""
    clip: float | None = Field(default=1.0, gt=0)
    """The longest gradient: a longer one is shortened to this norm; null leaves it as it is."""

    @abstractmethod
    def build(self, masters: Mapping[str, Tensor]) -> torch.optim.Optimizer:
        """A torch optimizer over these fp32 weights, by name. `lr` is not None any more."""
