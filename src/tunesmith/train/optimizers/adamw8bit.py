"""AdamW whose memory is kept in 8 bits (arXiv 2110.02861), by bitsandbytes."""

from __future__ import annotations

import logging

import torch
from pydantic import Field

from tunesmith.errors import MissingDependency
from tunesmith.train.optimizers import Group, Optimizer

SMALLEST = 4096
"""Weights of fewer elements keep their memory in fp32: they weigh nothing, and some of them (norms) mind."""


class AdamW8bit(Optimizer):
    """AdamW that remembers two bytes of each weight instead of eight; slower on a CPU. Needs bitsandbytes."""

    state_bytes = 2.0 + 2 * 4 / 256

    betas: tuple[float, float] = (0.9, 0.999)
    """How slowly the averages of gradients and of their squares move."""
    eps: float = Field(default=1e-8, gt=0)
    """Added to the divisor, against division by nearly nothing."""
    weight_decay: float = Field(default=0.01, ge=0)
    """How fast weights shrink, as a share of the learning rate; biases and norms are spared."""

    def make(self, groups: list[Group]) -> torch.optim.Optimizer:
        # It logs that kernels for 4-bit products are missing, which have no part in this.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError as error:
            raise MissingDependency("bitsandbytes", extra="quantize", needed_by="train.optimizer: adamw8bit") from error
        built: torch.optim.Optimizer = AdamW8bit(
            groups, lr=self.lr or 0.0, betas=self.betas, eps=self.eps, min_8bit_size=SMALLEST
        )
        return built
