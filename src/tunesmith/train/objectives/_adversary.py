"""An adversary that guesses a row's group from what the head reads, and pushes the group out of it.

It learns to guess, while its gradient goes on reversed, so that what is below learns to leave nothing to guess by
(Ganin et al. 2016, JMLR 17:59). Where groups are to fare alike among rows with the same label, it is told the
labels too (Zhang, Lemoine and Mitchell 2018, arXiv 1801.07593), and gains only by what they do not say already.

Shapes: B rows, D hidden width, C classes, G groups.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

WIDTH = 64
"""Of its one hidden layer."""


class Adversary(nn.Module):
    """A small network over a row's features.

    Args:
        width: D.
        told: how many values it is told beside them, C or 0.
        num_groups: G.
        seed: draws its weights.
    """

    def __init__(self, width: int, told: int, num_groups: int, *, seed: int) -> None:
        super().__init__()
        self.num_told = told
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.LayerNorm(width + told), nn.Linear(width + told, WIDTH), nn.ReLU(), nn.Linear(WIDTH, num_groups)
            )

    def forward(self, features_BD: Tensor, has_BC: Tensor, weight: float) -> Tensor:
        """Its guesses [B, G] as logits; the gradient of `features_BD` is turned round and counts `weight` times."""
        turned: Tensor = _Reversed.apply(features_BD, weight)  # type: ignore[no-untyped-call]
        told = [has_BC.to(turned)] if self.num_told else []
        guesses: Tensor = self.layers(torch.cat([turned, *told], dim=1))
        return guesses


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None
