"""Linear layers with their weights laid out as the matrix kernels of a CPU read them.

oneDNN brings a weight matrix into blocks before it multiplies. For the few rows of a decoding step that costs more
than the product itself; here it is done once, for as long as a model only predicts. The products are those of
torch.nn.functional.linear up to the order of their sums.

Tensors: I inputs and O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from tunesmith.models.nf4 import Nf4Linear

SHARE = 0.5
"""Of the free memory, what blocked weights may take."""


@contextmanager
def blocked(module: nn.Module) -> Iterator[None]:
    """Lets the linear layers of a model that predicts compute from blocked weights; they must not change meanwhile.

    Nothing is done on other devices than CPUs, where the copies would take more than `SHARE` of the free memory, and
    inside another `blocked`.
    """
    layers = [layer for layer in module.modules() if _can_block(layer)]
    if sum(map(_bytes, layers)) > SHARE * psutil.virtual_memory().available:
        layers = []
    for layer in layers:
        layer.forward = _Blocked(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


class _Blocked:
    """The forward of a linear layer from blocked weights, which are made when they are first needed."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._blocks: Tensor | None = None

    def __call__(self, inputs: Tensor) -> Tensor:
        if self._blocks is None:
            self._blocks = _in_blocks(_weight(self._layer, inputs.dtype))
        return _product(inputs, self._blocks, self._layer.bias)


def _can_block(layer: nn.Module) -> bool:
    if type(layer) not in (nn.Linear, Conv1D, Nf4Linear) or "forward" in vars(layer):
        return False
    held = layer.precision if isinstance(layer, Nf4Linear) else layer.weight
    return held.device.type == "cpu" and _blocks(held.dtype)


def _bytes(layer: Any) -> int:
    if isinstance(layer, Nf4Linear):
        return layer.in_features * layer.out_features * layer.precision.itemsize
    whole: int = layer.weight.nbytes
    return whole


def _weight(layer: Any, dtype: torch.dtype) -> Tensor:
    """[O, I]"""
    if isinstance(layer, Nf4Linear):
        return layer.unpacked(dtype)
    weight_OI: Tensor = layer.weight.T.contiguous() if isinstance(layer, Conv1D) else layer.weight
    return weight_OI


def _in_blocks(weight_OI: Tensor) -> Tensor:
    blocks: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_OI.detach(), None)
    return blocks


def _product(inputs: Tensor, blocks: Tensor, bias: Tensor | None) -> Tensor:
    said: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, blocks, bias, "none", [], "")
    return said


@cache
def _blocks(dtype: torch.dtype) -> bool:
    """Whether this build of torch multiplies by blocked weights, and rightly."""
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    inputs = torch.linspace(-1, 1, 64, dtype=dtype).view(2, 32)
    weight_OI = torch.linspace(-1, 1, 512, dtype=dtype).view(16, 32)
    try:
        found = _product(inputs, _in_blocks(weight_OI), None)
    except (AttributeError, RuntimeError):
        return False
    return torch.allclose(found, linear(inputs, weight_OI), rtol=1e-2, atol=1e-2)
