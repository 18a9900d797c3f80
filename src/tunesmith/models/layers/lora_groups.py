"""LoRA's layers, several at once: those that read the same states multiply them with one joined matrix.

The layers stay PEFT's, with its names and files; only how they are computed changes while a training lasts.
The frozen weights get no gradient.

Tensors: N tokens, D inputs, O outputs of a layer, P those of all layers of a group, r rank, R ranks of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tunesmith.models.layers.linear_groups import Group, beside, joined, readers_of
from tunesmith.models.layers.precision import rounded

if TYPE_CHECKING:
    from tunesmith.models.model import Model


def lora_groups(model: Model) -> list[Group]:
    """The model's plain LoRA layers, in groups that read the same states. Call it where the model can compute.

    What is not plain is left to PEFT: DoRA, dropout, a base in 4 bits, several adapters at once. So are
    encoder-decoders: T5's unscaled attention lets the other order of sums grow to 4e-5 of a gradient in fp32.
    """
    layers = [] if model.family == "encoder_decoder" else _plain_layers(model)
    return [_LoraGroup(readers) for readers in readers_of(model, layers)] if layers else []


def _plain_layers(model: Model) -> list[Any]:
    from peft.tuners.lora.layer import Linear

    return [layer for layer in model.module.modules() if type(layer) is Linear and _is_plain(layer)]


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


class _LoraGroup(Group):
    """LoRA's layers, whose bases stand still."""

    @property
    def matrices(self) -> list[nn.Parameter]:
        return [layer.base_layer.weight for layer in self.layers]

    def compute(self, states: Tensor) -> tuple[Tensor, ...]:
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


class _Apply(torch.autograd.Function):
    """x W' + b + scale (x A') B' of every layer of a group."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, bases: Sequence[nn.Linear], scales: Sequence[float],
                *adapters: Tensor) -> tuple[Tensor, ...]:  # fmt: skip
        count = len(bases)
        x_ND = rounded(states).flatten(0, -2)
        down_rD, up_Or = ([rounded(part) for part in half] for half in (adapters[:count], adapters[count:]))
        down_RD = torch.cat(down_rD)
        weight_PD = joined([rounded(base.weight) for base in bases])
        said_NP = torch.mm(x_ND, weight_PD.T)
        low_NR = torch.mm(x_ND, down_RD.T)
        lows_Nr = torch.split(low_NR, [len(part) for part in down_rD], dim=1)
        parts = torch.split(said_NP, [len(part) for part in up_Or], dim=1)
        for part_NO, low_Nr, up, scale, base in zip(parts, lows_Nr, up_Or, scales, bases, strict=True):
            part_NO.addmm_(low_Nr, up.T, alpha=scale)
            if base.bias is not None:
                part_NO += base.bias
        ctx.save_for_backward(x_ND, low_NR, weight_PD, down_RD, *up_Or)
        ctx.settings = states.shape, states.dtype, scales, [part.dtype for part in adapters]
        ctx.set_materialize_grads(False)
        return tuple(part_NO.view(*states.shape[:-1], -1) for part_NO in parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        x_ND, low_NR, weight_PD, down_RD, *up_Or = ctx.saved_tensors
        shape, dtype, scales, dtypes = ctx.settings
        sizes, ranks = [len(up) for up in up_Or], [up.shape[1] for up in up_Or]
        d_said_NO = [
            x_ND.new_zeros(len(x_ND), size) if grad is None else grad.flatten(0, -2)
            for grad, size in zip(grads, sizes, strict=True)
        ]
        d_low_NR, d_up = torch.empty_like(low_NR), []
        halves = zip(
            d_said_NO,
            torch.split(low_NR, ranks, dim=1),
            torch.split(d_low_NR, ranks, dim=1),
            up_Or,
            scales,
            strict=True,
        )
        for d_part_NO, low_Nr, d_low_Nr, up, scale in halves:
            d_up.append(torch.mm(d_part_NO.T, low_Nr).mul_(scale))
            torch.mm(d_part_NO, up, out=d_low_Nr)
            d_low_Nr *= scale
        d_down_RD = torch.mm(d_low_NR.T, x_ND)
        d_states = None
        if ctx.needs_input_grad[0]:
            d_states = torch.mm(beside(d_said_NO), weight_PD).addmm_(d_low_NR, down_RD).view(shape).to(dtype)
        learned = [*torch.split(d_down_RD, ranks), *d_up]
        return (d_states, None, None, *(part.to(kind) for part, kind in zip(learned, dtypes, strict=True)))
