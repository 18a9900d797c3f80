"""Optimizers: how weights move along their gradients.

What every optimizer shares stands here: which weights are grouped together, how fast each group learns,
what is spared the weight decay, and the L1 penalty. A part adds its own rule of motion.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from tunesmith.part import Part
from tunesmith.spec.derive import HEAD

Group = dict[str, Any]
"""A parameter group of torch, with `rate` (what the learning rate is multiplied by) and `l1` beside its settings."""


class Optimizer(Part):
    """How weights move. `fit` sets the learning rate of every group, `lr` times its `rate`, before each step."""

    pace: ClassVar[float] = 1.0
    """How many times AdamW's learning rate is usual here; the derived `lr` is multiplied by it."""
    state_bytes: ClassVar[float] = 8.0
    """What is remembered of each trained weight, for the memory estimate."""

    lr: float | None = Field(default=None, gt=0)
    """The highest learning rate; derived from objective, adapter and size when left out."""
    clip: float | None = Field(default=1.0, gt=0)
    """The longest gradient: a longer one is shortened to this norm; null leaves it as it is."""
    head: float | None = Field(default=None, gt=0)
    """How many times faster than the rest a classification or tagging head learns; derived from the adapter when left
    out: ten times, and less beside those that learn fast themselves."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """The learning rate of each layer, as a share of that of the layer above it; the embeddings come last."""
    weight_decay: float = Field(default=0.0, ge=0)
    """How strongly weights are drawn to zero; biases and norms are spared."""
    l1: float = Field(default=0.0, ge=0)
    """Draws weights to exactly zero, each by this times the learning rate a step; biases and norms are spared."""

    def build(self, masters: Mapping[str, Tensor], depths: Mapping[str, int] | None = None) -> torch.optim.Optimizer:
        """A torch optimizer over these fp32 weights.

        Args:
            masters: weights by name; those of a head of ours begin with `head.`, what learns beside it with `beside.`.
            depths: how many layers lie above each weight's own, see `models.layers.depth`; 0 for names left out.

        Raises:
            UserError: it cannot run here.
        """
        return self.make(self.groups(masters, depths or {}))

    @abstractmethod
    def make(self, groups: list[Group]) -> torch.optim.Optimizer:
        """The torch optimizer of these groups. `lr` is not None any more."""

    def groups(self, masters: Mapping[str, Tensor], depths: Mapping[str, int]) -> list[Group]:
        """Weights with the same learning rate and penalties together; biases and the gains of norms are vectors."""
        found: dict[tuple[float, bool], Group] = {}
        head = HEAD if self.head is None else self.head
        for name, weight in masters.items():
            rate = head if name.startswith(("head.", "beside.")) else self.layer_decay ** depths.get(name, 0)
            matrix = weight.ndim >= 2
            group = found.setdefault(
                (rate, matrix),
                {
                    "params": [],
                    "rate": rate,
                    "weight_decay": self.weight_decay if matrix else 0.0,
                    "l1": self.l1 if matrix else 0.0,
                },
            )
            group["params"].append(weight)
        return list(found.values())

    def move(self, optimizer: torch.optim.Optimizer, lr: float) -> None:
        """Takes one step at learning rate `lr`, times each group's `rate`."""
        for group in optimizer.param_groups:
            group["lr"] = lr * group["rate"]
        optimizer.step()
        if self.l1:
            shrink(optimizer.param_groups)


@torch.no_grad()
def shrink(groups: Sequence[Group]) -> None:
    """The proximal step of an L1 penalty (soft thresholding, ISTA): unlike a subgradient it reaches zero and stays.

    Weights without a gradient were not moved and are not drawn either.
    """
    for group in groups:
        for weight in group["params"]:
            if group["l1"] and weight.grad is not None:
                weight.copy_(weight.sign() * (weight.abs() - group["lr"] * group["l1"]).clamp_min_(0))
