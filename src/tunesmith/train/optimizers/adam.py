"""Adam (arXiv 1412.6980)."""

from __future__ import annotations

import torch
from pydantic import Field

from tunesmith.train.optimizers import Group, Optimizer


class Adam(Optimizer):
    """Adam as first published: a weight decay is a part of the gradient, and is rescaled with it."""

    betas: tuple[float, float] = (0.9, 0.999)
    """How slowly the averages of gradients and of their squares move."""
    eps: float = Field(default=1e-8, gt=0)
    """Added to the divisor, against division by nearly nothing."""
    weight_decay: float = Field(default=0.0, ge=0)
    """The L2 penalty: this share of each weight is added to its gradient; biases and norms are spared."""

    def make(self, groups: list[Group]) -> torch.optim.Optimizer:
        return torch.optim.Adam(groups, lr=self.lr or 0.0, betas=self.betas, eps=self.eps, fused=True)
