"""Adafactor (arXiv 1804.04235)."""

from __future__ import annotations

import torch
from pydantic import Field

from tunesmith.train.optimizers import Group, Optimizer


class Adafactor(Optimizer):
    """Remembers of each matrix only a row and a column; moves weights in proportion to their size.

    Its learning rate is relative: 0.01 moves a weight by about a hundredth of its matrix's typical weight.
    """

    pace = 20.0
    state_bytes = 0.1

    beta2_decay: float = Field(default=-0.8, lt=0)
    """How the memory of squared gradients lengthens: at step t it keeps 1 - t^beta2_decay."""
    eps: float = Field(default=1e-3, gt=0)
    """The smallest typical weight taken for a matrix, so that one that starts at zero moves too."""
    weight_decay: float = Field(default=0.0, ge=0)
    """How fast weights shrink, as a share of the learning rate; biases and norms are spared."""

    def make(self, groups: list[Group]) -> torch.optim.Optimizer:
        return torch.optim.Adafactor(groups, lr=self.lr or 0.0, beta2_decay=self.beta2_decay, eps=(None, self.eps))
