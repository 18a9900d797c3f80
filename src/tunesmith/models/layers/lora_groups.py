"""LoRA's layers, several at once: those that read the same states multiply them with one joined matrix.

The layers stay PEFT's, with its names and files; only how they are computed changes while a training lasts.
Queries, keys and values are one product instead of three, what they read is rounded and kept once, and the
frozen weights get no gradient. Which layers read the same is measured, so no architecture is named here.

Tensors: N tokens, D inputs, O outputs of a layer, P those of all layers of a group, r rank, R ranks of a group.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tunesmith.models.layers.native import lora
from tunesmith.models.layers.native.products import mm
from tunesmith.models.layers.precision import rounded

if TYPE_CHECKING:
    from tunesmith.models.model import Model

PROBE = 3
"""Tokens of the row on which it is measured."""


def lora_groups(model: Model) -> list[_Group]:
    """The model's plain LoRA layers, in groups that read the same states. Call it where the model can compute.

    What is not plain is left to PEFT: DoRA, dropout, a base in 4 bits, several adapters at once. So are
    encoder-decoders: T5's unscaled attention lets the other order of sums grow to 4e-5 of a gradient in fp32.
    """
    layers = [] if model.family == "encoder_decoder" else _plain_layers(model)
    return [_Group(readers) for readers in _readers(model, layers)] if layers else []


@contextmanager
def grouped(groups: Sequence[_Group]) -> Iterator[None]:
    """Computes the layers of every group together; same outputs and gradients."""
    for group in groups:
        group.take()
    try:
        yield
    finally:
        for group in groups:
            group.give_back()


def _plain_layers(model: Model) -> list[Any]:
    peft = sys.modules.get("peft.tuners.lora.layer")
    if peft is None:  # it takes seconds to load, and without it nothing is of it
        return []
    return [layer for layer in model.module.modules() if type(layer) is peft.Linear and _is_plain(layer)]


def _is_plain(layer: Any) -> bool:
    name, *others = layer.active_adapters
    return (
        not others
        and name in layer.lora_A
        and name not in layer.lora_variant
        and type(layer.base_layer) is nn.Linear
        and not any(parameter.requires_grad for parameter in layer.base_layer.parameters())
        and layer.lora_B[name].bias is None
        and not getattr(layer.lora_dropout[name], "p", 0.0)
        and not (layer.disable_adapters or layer.merged)
    )


def _readers(model: Model, layers: Sequence[Any]) -> list[list[Any]]:
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
    if len(calls) != len({id(layer) for layer, _ in calls}):
        return [[layer] for layer in layers]  # a layer that is used twice may read other states the second time
    groups: list[list[Any]] = [[calls[0][0]]]
    for (_, before), (layer, states) in pairwise(calls):
        if states is before:
            groups[-1].append(layer)
        else:
            groups.append([layer])
    return groups


class _Group:
    """Layers that read the same states."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self.layers = layers
        self._read: Tensor | None = None
        self._said: dict[int, Tensor] = {}

    def take(self) -> None:
        """Puts the joint computation in the place of each layer's own."""
        if len(self.layers) > 1:
            _join([layer.base_layer.weight for layer in self.layers])
        for place, layer in enumerate(self.layers):
            layer.forward = self._member(place)

    def give_back(self) -> None:
        """Leaves the layers as they were, each with weights of its own."""
        for layer in self.layers:
            del layer.forward
            layer.base_layer.weight.data = layer.base_layer.weight.data.clone()

    def _member(self, place: int) -> Callable[[Tensor], Tensor]:
        """What the layer at `place` does instead of its own forward pass."""

        def forward(states: Tensor) -> Tensor:
            if self._read is not states or place not in self._said:
                self._read, self._said = states, dict(enumerate(self._compute(states)))
            said = self._said.pop(place)
            if not self._said:
                self._read = None
            return said

        return forward

    def _compute(self, states: Tensor) -> tuple[Tensor, ...]:
        names = [layer.active_adapters[0] for layer in self.layers]
        both = list(zip(self.layers, names, strict=True))
        said: tuple[Tensor, ...] = _Apply.apply(  # type: ignore[no-untyped-call]
            states,
            [layer.base_layer for layer in self.layers],
            [layer.scaling[name] for layer, name in both],
            *(layer.lora_A[name].weight for layer, name in both),
            *(layer.lora_B[name].weight for layer, name in both),
        )
        return said


def _join(weights: Sequence[nn.Parameter]) -> None:
    """Lays frozen matrices one below the other in memory; each is then a view of its part."""
    sizes = [len(weight) for weight in weights]
    for weight, part in zip(weights, torch.split(torch.cat([weight.data for weight in weights]), sizes), strict=True):
        weight.data = part


def _joined(weights: Sequence[Tensor]) -> Tensor:
    """The matrix [P, D] whose parts lie one below the other; put together anew where they no longer do."""
    first, end = weights[0], weights[0].data_ptr()
    for weight in weights:
        if weight.data_ptr() != end or not weight.is_contiguous():
            return torch.cat(list(weights))
        end += weight.nbytes
    return first.as_strided((sum(len(weight) for weight in weights), first.shape[1]), first.stride())


class _Apply(torch.autograd.Function):
    """x W' + b + scale (x A') B' of every layer of a group."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, bases: Sequence[nn.Linear], scales: Sequence[float],
                *adapters: Tensor) -> tuple[Tensor, ...]:  # fmt: skip
        count = len(bases)
        x_ND = rounded(states).flatten(0, -2)
        down_rD, up_Or = ([rounded(part) for part in half] for half in (adapters[:count], adapters[count:]))
        down_RD, weights_OD = torch.cat(down_rD), [rounded(base.weight) for base in bases]
        kernels = lora.kernels_for(x_ND, weights_OD, up_Or)
        by = _said if kernels is None else partial(lora.forward, kernels)
        said_NO, low_NR = by(x_ND, weights_OD, down_RD, up_Or, scales)
        for part_NO, base in zip(said_NO, bases, strict=True):
            if base.bias is not None:
                part_NO += base.bias
        ctx.save_for_backward(x_ND, low_NR, down_RD, *weights_OD, *up_Or)
        ctx.settings = states.shape, states.dtype, scales, [part.dtype for part in adapters], kernels
        ctx.set_materialize_grads(False)
        return tuple(part_NO.view(*states.shape[:-1], -1) for part_NO in said_NO)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        x_ND, low_NR, down_RD, *matrices = ctx.saved_tensors
        shape, dtype, scales, dtypes, kernels = ctx.settings
        weights_OD, up_Or = matrices[: len(scales)], matrices[len(scales) :]
        d_said_NO = [
            x_ND.new_zeros(len(x_ND), len(up)) if grad is None else grad.flatten(0, -2)
            for grad, up in zip(grads, up_Or, strict=True)
        ]
        by = _learned if kernels is None else partial(lora.backward, kernels)
        d_x_ND, d_down_RD, d_up_Or = by(
            x_ND, weights_OD, down_RD, up_Or, scales, low_NR, d_said_NO, wants_states=ctx.needs_input_grad[0]
        )
        learned = [*torch.split(d_down_RD, [up.shape[1] for up in up_Or]), *d_up_Or]
        return (
            None if d_x_ND is None else d_x_ND.view(shape).to(dtype),
            None,
            None,
            *(part.to(kind) for part, kind in zip(learned, dtypes, strict=True)),
        )


# Product by product ---------------------------------------------------------------------------------


def _said(
    x_ND: Tensor, weights_OD: Sequence[Tensor], down_RD: Tensor, ups_Or: Sequence[Tensor], scales: Sequence[float]
) -> tuple[Sequence[Tensor], Tensor]:
    """What each layer says, and all of x A' [N, R]."""
    said_NP, low_NR = mm(x_ND, _joined(weights_OD).T), mm(x_ND, down_RD.T)
    said_NO = torch.split(said_NP, [len(up) for up in ups_Or], dim=1)
    lows_Nr = torch.split(low_NR, [up.shape[1] for up in ups_Or], dim=1)
    for part_NO, low_Nr, up, scale in zip(said_NO, lows_Nr, ups_Or, scales, strict=True):
        mm(low_Nr, up.T, out=part_NO, alpha=scale, add=True)
    return said_NO, low_NR


def _learned(
    x_ND: Tensor, weights_OD: Sequence[Tensor], down_RD: Tensor, ups_Or: Sequence[Tensor], scales: Sequence[float],
    low_NR: Tensor, d_said_NO: Sequence[Tensor], *, wants_states: bool,
) -> tuple[Tensor | None, Tensor, list[Tensor]]:  # fmt: skip
    """The gradients of x, if wanted, of A as [R, D] and of every B."""
    ranks, d_low_NR, d_ups_Or = [up.shape[1] for up in ups_Or], torch.empty_like(low_NR), []
    lows, d_lows = (torch.split(matrix, ranks, dim=1) for matrix in (low_NR, d_low_NR))
    for d_part_NO, low_Nr, d_low_Nr, up, scale in zip(d_said_NO, lows, d_lows, ups_Or, scales, strict=True):
        mm(d_part_NO, up, out=d_low_Nr, alpha=scale)
        d_ups_Or.append(mm(d_part_NO.T, low_Nr, alpha=scale))
    d_x_ND = None
    if wants_states:
        d_x_ND = mm(d_low_NR, down_RD)
        for d_part_NO, weight_OD in _products(d_said_NO, weights_OD):
            mm(d_part_NO, weight_OD, out=d_x_ND, add=True)
    return d_x_ND, mm(x_ND.T, d_low_NR).T, d_ups_Or


def _products(d_said_NO: Sequence[Tensor], weights_OD: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """What sums to the gradient of the states: in half precision one product, since each would be rounded."""
    if weights_OD[0].dtype != torch.float32 and len(d_said_NO) > 1:
        return [(torch.cat(list(d_said_NO), dim=1), _joined(weights_OD))]
    return list(zip(d_said_NO, weights_OD, strict=True))
