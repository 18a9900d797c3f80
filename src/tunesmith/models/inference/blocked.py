"""Linear layers of a model that predicts: those that read the same as one product, by the fastest kernel there is.

Layers that are seen to read the same tensor (queries, keys and values; gate and up; the LoRAs beside them) become one
product. It is taken by our own kernels where products of fp32 are faster so (`native/products.py`), and elsewhere by
oneDNN's. Those bring a weight matrix into blocks before they multiply, which for the few rows of a decoding step costs
more than the product itself: here it is done once. Results are those of torch.nn.functional.linear up to the order of
their sums.

Tensors: I inputs and O outputs of a layer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from tunesmith.models.layers.native.library import Library, in_use, library, used
from tunesmith.models.layers.native.products import Fixed, better
from tunesmith.models.layers.native.replaced import are_plain
from tunesmith.models.nf4 import Nf4Linear

SHARE = 0.5
"""Of the free memory, what blocked weights may take."""
RECENT = 3
"""A layer joins those that read its input, unless this many other inputs came in between."""


@contextmanager
def blocked(module: nn.Module) -> Iterator[None]:
    """Lets the linear layers of a model that predicts compute so; their weights must not change meanwhile.

    Nothing is done on other devices than CPUs, where the copies would take more than `SHARE` of the free memory,
    inside another `blocked`, and under autocast: there a training measures itself and goes on.
    """
    able = not torch.is_autocast_enabled("cpu")
    layers = [layer for layer in module.modules() if able and _can_block(layer)]
    if sum(map(_bytes, layers)) > SHARE * psutil.virtual_memory().available:
        layers = []
    kernels = library()[0] if layers else None
    recent: deque[_Joined] = deque()
    for layer in layers:
        layer.forward = _Blocked(layer, recent)
    try:
        with used(kernels) if kernels else nullcontext():
            yield
    finally:
        for layer in layers:
            del layer.forward


class _Blocked:
    """The forward of a linear layer: at first its own, which shows who reads the same input; then the joined one.

    Args:
        layer: whose forward it is.
        recent: what the layers called last have joined.
    """

    def __init__(self, layer: Any, recent: deque[_Joined]) -> None:
        self._layer, self._recent = layer, recent
        self._joined: _Joined | None = None
        self._place = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        if self._joined is not None:
            return self._joined.product(self._place, inputs)
        self._joined = next((joined for joined in self._recent if joined.reads(inputs, self._layer)), None)
        if self._joined is None:
            self._joined = _Joined(inputs)
            if len(self._recent) == RECENT:
                self._recent.popleft().let_go()
            self._recent.append(self._joined)
        self._place = self._joined.add(self._layer)
        if type(self._layer) is nn.Linear and (kernels := _kernels(self._layer.weight)) is not None:
            return Fixed(kernels, self._layer.weight, self._layer.bias)(inputs)
        said: Tensor = type(self._layer).forward(self._layer, inputs)
        return said


class _Joined:
    """Layers that read the same input, as one product."""

    def __init__(self, inputs: Tensor) -> None:
        self._layers: list[Any] = []
        self._inputs: Tensor | None = inputs
        self._said: tuple[Tensor, ...] = ()
        self._multiply: Callable[[Tensor], Tensor] | None = None

    def reads(self, inputs: Tensor, layer: Any) -> bool:
        """Whether a layer that reads `inputs` belongs here."""
        return self._multiply is None and inputs is self._inputs and _dtype(layer) == _dtype(self._layers[0])

    def add(self, layer: Any) -> int:
        self._layers.append(layer)
        return len(self._layers) - 1

    def product(self, place: int, inputs: Tensor) -> Tensor:
        """What the layer at a place says; the product is taken when the first of them asks."""
        if self._multiply is None:
            self._multiply = self._join(inputs.dtype)
        if inputs is not self._inputs:
            self._inputs, self._said = inputs, torch.split(self._multiply(inputs), self._widths, dim=-1)
        said = self._said[place]
        if place == len(self._layers) - 1:
            self.let_go()
        return said

    def let_go(self) -> None:
        """Holds no tensor of a forward any longer."""
        self._inputs, self._said = None, ()

    def _join(self, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        weights = [_weight(layer, dtype) for layer in self._layers]
        self._widths = [len(weight_OI) for weight_OI in weights]
        biases = [layer.bias for layer in self._layers]
        bias: Tensor | None = None
        if any(each is not None for each in biases):
            nothing = weights[0].new_zeros
            pairs = zip(biases, self._widths, strict=True)
            bias = torch.cat([nothing(width) if each is None else each for each, width in pairs])
        self.let_go()
        return _multiplier(torch.cat(weights) if len(weights) > 1 else weights[0], bias)


def _multiplier(weight_OI: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """What takes the product with a weight that stays."""
    if (kernels := _kernels(weight_OI)) is not None:
        return Fixed(kernels, weight_OI, bias)
    return partial(_product, blocks=_in_blocks(weight_OI), bias=bias)


def _kernels(weight: Tensor) -> Library | None:
    """Our own, where they are faster than oneDNN's."""
    return in_use() if better() and are_plain(weight) else None


def _can_block(layer: nn.Module) -> bool:
    if type(layer) not in (nn.Linear, Conv1D, Nf4Linear) or "forward" in vars(layer):
        return False
    device = layer.codes.device if isinstance(layer, Nf4Linear) else layer.weight.device
    return device.type == "cpu" and _blocks(_dtype(layer))


def _dtype(layer: Any) -> torch.dtype:
    held: Tensor = layer.precision if isinstance(layer, Nf4Linear) else layer.weight
    return held.dtype


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
