"""Modules that compute another way for a while.

Which modules can is measured, not listed: one that does with a few numbers what a formula says is taken for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

PROBE = 3
"""Tokens on which it is measured."""
CLOSE = 1e-5
"""How far, relatively, the formula may be off."""


class Replaced(NamedTuple):
    """A module, and what it does instead of its own forward pass."""

    module: nn.Module
    forward: Callable[[Tensor], Tensor]


@contextmanager
def placed(replaced: Sequence[Replaced]) -> Iterator[None]:
    """Has these modules compute another way; same outputs and gradients, to rounding."""
    for module, forward in replaced:
        module.forward = forward
    try:
        yield
    finally:
        for module, _ in replaced:
            del module.forward


def are_plain(*tensors: Tensor) -> bool:
    """Whether the kernels can read these: fp32 on the CPU, and nothing that only acts as a tensor."""
    return all(
        type(tensor) in (Tensor, nn.Parameter) and tensor.dtype == torch.float32 and tensor.device.type == "cpu"
        for tensor in tensors
    )


def reads_one(module: nn.Module) -> bool:
    """Whether it is called with nothing but states: a norm that takes a gate beside is another thing."""
    return len(signature(module.forward).parameters) == 1


def numbers(width: int) -> Tensor:
    """The same few tokens for every module, so that nothing is drawn."""
    return torch.linspace(-2.0, 3.0, PROBE * width).sin().mul_(3.0).view(1, PROBE, width)


def agrees(module: nn.Module, probe_1ND: Tensor, expected_1ND: Tensor) -> bool:
    """Whether a module says what a formula expects of it."""
    said: Any = module(probe_1ND)
    if type(said) is not Tensor or said.shape != expected_1ND.shape or said.dtype != torch.float32:
        return False
    return float((said - expected_1ND).abs().max()) <= CLOSE * float(expected_1ND.abs().max())
