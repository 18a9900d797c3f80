"""Adam with decoupled weight decay (arXiv 1711.05101)."""

from __future__ import annotations

import torch
from pydantic import Field

from tunesmith.train.optimizers import Group, Optimizer


class AdamW(Optimizer):
    """Adam with decoupled weight decay."""

    betas: tuple[float, float] = (0.9, 0.999)
    """How slowly the averages of gradients and of their squares move."""
    eps: float = Field(default=1e-8, gt=0)
    """Added to the divisor, against division by nearly nothing."""
    weight_decay: float = Field(default=0.01, ge=0)
    """How fast weights shrink, as a share of the learning rate; biases and norms are spared."""

    def make(self, groups: list[Group]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, lr=self.lr or 0.0, betas=self.betas, eps=self.eps, fused=True)
