"""Linear layers that read the same states, as one product: queries, keys and values; gate and up.

What they read is rounded and kept once, the gradient of the states is one product instead of several and their sum.
Which layers read the same is measured, so no architecture is named here. LoRA's layers are in `lora_groups`.

Tensors: N tokens, D inputs, O outputs of a layer, P those of all layers of a group.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tunesmith.models.layers.precision import rounded

if TYPE_CHECKING:
    from tunesmith.models.model import Model

PROBE = 3
"""Tokens of the row on which it is measured."""


def linear_groups(model: Model) -> list[Group]:
    """The model's plain layers that train, where several read the same states. Call it where the model can compute.

    Encoder-decoders are left as they are: T5's unscaled attention lets another order of sums grow.
    """
    if model.family == "encoder_decoder":
        return []
    layers = [layer for layer in model.module.modules() if type(layer) is nn.Linear and layer.weight.requires_grad]
    return [_LinearGroup(readers) for readers in readers_of(model, layers) if len(readers) > 1 and _alike(readers)]


@contextmanager
def grouped(groups: Sequence[Group]) -> Iterator[None]:
    """Computes the layers of every group together; same outputs and gradients."""
    for group in groups:
        group.take()
    try:
        yield
    finally:
        for group in groups:
            group.give_back()


def readers_of(model: Model, layers: Sequence[Any]) -> list[list[Any]]:
    """The layers in groups that were handed one and the same tensor, one after another, by a short row."""
    from tunesmith.models.packing.layout import Layout
    from tunesmith.models.packing.rows import hidden_of_rows

    calls: list[tuple[Any, Tensor]] = []
    hooks = [layer.register_forward_pre_hook(lambda layer, args: calls.append((layer, args[0]))) for layer in layers]
    ids_N = torch.arange(PROBE, device=model.device) + 1
    training = model.module.training
    model.module.eval()
    try:
        with torch.no_grad():
            hidden_of_rows(model, ids_N, Layout((PROBE,), model.device))
    finally:
        model.module.train(training)
        for hook in hooks:
            hook.remove()
    if not calls or len(calls) != len({id(layer) for layer, _ in calls}):
        return [[layer] for layer in layers]  # a layer that is used twice may read other states the second time
    groups: list[list[Any]] = [[calls[0][0]]]
    for (_, before), (layer, states) in pairwise(calls):
        if states is before:
            groups[-1].append(layer)
        else:
            groups.append([layer])
    return groups


class Group(ABC):
    """Layers that read the same states."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self.layers = layers
        self._read: Tensor | None = None
        self._said: dict[int, Tensor] = {}

    @property
    @abstractmethod
    def matrices(self) -> list[nn.Parameter]:
        """The weight of each layer, [O, D]."""

    @abstractmethod
    def compute(self, states: Tensor) -> tuple[Tensor, ...]:
        """What each layer says."""

    def take(self) -> None:
        """Puts the joint computation in the place of each layer's own."""
        if len(self.layers) > 1:
            _join(self.matrices)
        for place, layer in enumerate(self.layers):
            layer.forward = self._member(place)

    def give_back(self) -> None:
        """Leaves the layers as they were, each with weights of its own."""
        for layer, weight in zip(self.layers, self.matrices, strict=True):
            del layer.forward
            weight.data = weight.data.clone()

    def _member(self, place: int) -> Callable[[Tensor], Tensor]:
        """What the layer at `place` does instead of its own forward pass."""

        def forward(states: Tensor) -> Tensor:
            if self._read is not states or place not in self._said:
                self._read, self._said = states, dict(enumerate(self.compute(states)))
            said = self._said.pop(place)
            if not self._said:
                self._read = None
            return said

        return forward


class _LinearGroup(Group):
    """Layers without adapters, whose weights train."""

    @property
    def matrices(self) -> list[nn.Parameter]:
        return [layer.weight for layer in self.layers]

    def compute(self, states: Tensor) -> tuple[Tensor, ...]:
        biases = [layer.bias for layer in self.layers if layer.bias is not None]
        said: tuple[Tensor, ...] = _Products.apply(states, len(self.layers), *self.matrices, *biases)  # type: ignore[no-untyped-call]
        return said


def _alike(layers: Sequence[nn.Linear]) -> bool:
    """Whether all of them have a bias, or none."""
    return len({layer.bias is None for layer in layers}) == 1


def _join(weights: Sequence[nn.Parameter]) -> None:
    """Lays matrices one below the other in memory; each is then a view of its part."""
    sizes = [len(weight) for weight in weights]
    for weight, part in zip(weights, torch.split(torch.cat([weight.data for weight in weights]), sizes), strict=True):
        weight.data = part


def joined(weights: Sequence[Tensor]) -> Tensor:
    """The matrix [P, D] whose parts lie one below the other; put together anew where they no longer do."""
    first, end = weights[0], weights[0].data_ptr()
    for weight in weights:
        if weight.data_ptr() != end or not weight.is_contiguous():
            return torch.cat(list(weights))
        end += weight.nbytes
    return first.as_strided((sum(len(weight) for weight in weights), first.shape[1]), first.stride())


def beside(parts_NO: Sequence[Tensor]) -> Tensor:
    """The matrix [N, P] whose parts lie side by side; put together anew where they do not."""
    first, end = parts_NO[0], parts_NO[0].data_ptr()
    width = sum(part.shape[1] for part in parts_NO)
    for part_NO in parts_NO:
        if part_NO.data_ptr() != end or part_NO.stride() != (width, 1) or part_NO.dtype != first.dtype:
            return torch.cat(list(parts_NO), dim=1) if len(parts_NO) > 1 else first
        end += part_NO.shape[1] * part_NO.itemsize
    return first.as_strided((len(first), width), (width, 1))


class _Products(torch.autograd.Function):
    """x W' + b of every layer of a group."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, count: int, *given: Tensor) -> tuple[Tensor, ...]:
        weights, biases = [rounded(weight) for weight in given[:count]], given[count:]
        x_ND, weight_PD = rounded(states).flatten(0, -2), joined(weights)
        if biases:
            said_NP = torch.addmm(torch.cat([rounded(bias) for bias in biases]), x_ND, weight_PD.T)
        else:
            said_NP = torch.mm(x_ND, weight_PD.T)
        sizes = [len(weight) for weight in weights]
        ctx.save_for_backward(x_ND, weight_PD)
        ctx.settings = states.shape, states.dtype, sizes, [part.dtype for part in given]
        ctx.set_materialize_grads(False)
        return tuple(part_NO.view(*states.shape[:-1], -1) for part_NO in torch.split(said_NP, sizes, dim=1))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        x_ND, weight_PD = ctx.saved_tensors
        shape, dtype, sizes, dtypes = ctx.settings
        d_said_NP = beside(
            [
                x_ND.new_zeros(len(x_ND), size) if grad is None else grad.flatten(0, -2)
                for grad, size in zip(grads, sizes, strict=True)
            ]
        )
        d_states = torch.mm(d_said_NP, weight_PD).view(shape).to(dtype) if ctx.needs_input_grad[0] else None
        learned: list[Tensor | None] = [None] * len(dtypes)
        if any(ctx.needs_input_grad[2:]):
            learned[: len(sizes)] = torch.split(torch.mm(d_said_NP.T, x_ND), sizes)
            if len(dtypes) > len(sizes):
                learned[len(sizes) :] = torch.split(d_said_NP.sum(dim=0, dtype=torch.float32), sizes)
        return (
            d_states,
            None,
            *(None if part is None else part.to(kind) for part, kind in zip(learned, dtypes, strict=True)),
        )
