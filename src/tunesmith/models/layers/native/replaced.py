"""Modules and functions that compute another way for a while.

Which can is measured, not listed: one that does with a few numbers what a formula says is taken for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

PROBE = 3
"""Tokens on which it is measured."""
CLOSE = 1e-5
"""How far, relatively, the formula may be off."""


class Replaced(NamedTuple):
    """What computes, a module or a function of a file, and what stands in for it."""

    holder: nn.Module | ModuleType
    compute: Callable[..., Any]
    name: str = "forward"
    """What it is called there."""


_STOOD: dict[tuple[int, str], list[Any]] = {}
"""What stood where something stands in, as often as it does: models share the files of functions."""
_PLACING = threading.Lock()


@contextmanager
def placed(replaced: Sequence[Replaced]) -> Iterator[None]:
    """Has these compute another way; same outputs and gradients, to rounding."""
    with _PLACING:
        for holder, compute, name in replaced:
            _STOOD.setdefault((id(holder), name), []).append(vars(holder).get(name))
            setattr(holder, name, compute)
    try:
        yield
    finally:
        with _PLACING:
            for holder, _, name in replaced:
                before = _STOOD[id(holder), name].pop()
                if _STOOD[id(holder), name]:
                    continue  # somebody else needs it yet
                del _STOOD[id(holder), name]
                if before is None:
                    delattr(holder, name)  # a module's own method is there again
                else:
                    setattr(holder, name, before)


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
    return close(module(probe_1ND), expected_1ND)


def close(said: Any, expected: Tensor) -> bool:
    """Whether it is what a formula expects."""
    if type(said) is not Tensor or said.shape != expected.shape or said.dtype != torch.float32:
        return False
    return float((said - expected).abs().max()) <= CLOSE * float(expected.abs().max())
