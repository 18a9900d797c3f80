"""RMSNorms and gated units in one pass, and without what torch keeps for the way back.

Which modules compute them is measured, not listed: a module that normalizes or gates a few numbers as the formula
says is taken for one. A norm keeps its input and a number a token; torch's operators keep the input twice over.

Tensors: N tokens, D width, I inner width of a gated unit.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.models.layers.native.again import can_be_made
from tunesmith.models.layers.native.library import in_use
from tunesmith.models.layers.native.replaced import Replaced, are_plain

PROBE = 3
"""Tokens on which it is measured."""
CLOSE = 1e-5
"""How far, relatively, the formula may be off."""
GATED = ("gate_proj", "up_proj", "down_proj", "act_fn")
"""What transformers calls the parts of a gated unit."""


@torch.no_grad()
def norms_and_gates(model: nn.Module) -> list[Replaced]:
    """What of a model the kernels can compute: RMSNorms, and gated units whose gate is a SiLU."""
    training = model.training
    model.eval()
    try:
        own = [module for module in model.modules() if "forward" not in vars(module) and _reads_one(module)]
        norms = [norm for module in own if (norm := _norm(module))]
        return norms + [Replaced(module, _Gated(module)) for module in own if _is_gated(module)]
    finally:
        model.train(training)


def _reads_one(module: nn.Module) -> bool:
    """Whether it is called with nothing but states: a norm that takes a gate beside is another thing."""
    return len(signature(module.forward).parameters) == 1


def _numbers(width: int) -> Tensor:
    """The same few tokens for every module, so that nothing is drawn."""
    return torch.linspace(-2.0, 3.0, PROBE * width).sin().mul_(3.0).view(1, PROBE, width)


def _agrees(module: nn.Module, probe_1ND: Tensor, expected_1ND: Tensor) -> bool:
    said: Any = module(probe_1ND)
    if type(said) is not Tensor or said.shape != expected_1ND.shape or said.dtype != torch.float32:
        return False
    return float((said - expected_1ND).abs().max()) <= CLOSE * float(expected_1ND.abs().max())


# RMSNorms -------------------------------------------------------------------------------------------


def _norm(module: nn.Module) -> Replaced | None:
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    weights = dict(module.named_parameters())
    if list(weights) != ["weight"] or not isinstance(eps, float) or "RMSNorm" not in type(module).__name__:
        return None
    weight_D = weights["weight"]
    if weight_D.dim() != 1 or not are_plain(weight_D):
        return None
    probe_1ND = _numbers(len(weight_D))
    normal_1ND = probe_1ND * torch.rsqrt(probe_1ND.pow(2).mean(-1, keepdim=True) + eps)
    for offset in (0.0, 1.0):  # Gemma's weights are what is added to one
        if _agrees(module, probe_1ND, normal_1ND * (weight_D + offset)):
            return Replaced(module, _Normalized(module, eps, offset))
    return None


class _Normalized:
    def __init__(self, module: nn.Module, eps: float, offset: float) -> None:
        self.module: Any = module
        self.eps, self.offset = eps, offset

    def __call__(self, states: Tensor) -> Tensor:
        weight_D = self.module.weight
        if in_use() is None or not are_plain(states, weight_D) or not states.numel():
            plain: Tensor = type(self.module).forward(self.module, states)
            return plain
        weight_D = weight_D + self.offset if self.offset else weight_D
        said: Tensor = _Norm.apply(states, weight_D, self.eps)  # type: ignore[no-untyped-call]
        return said


class _Norm(torch.autograd.Function):
    """x / sqrt(mean(x^2) + eps) * weight (arXiv 1910.07467)."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        kernels = in_use()
        assert kernels is not None
        states, width = states.contiguous(), len(weight_D)
        tokens = states.numel() // width
        shrunk_N, read = states.new_empty(tokens), (states.detach(), weight_D.detach())

        def make() -> Tensor:
            said = torch.empty_like(read[0])
            kernels.call("norm_forward", tokens, width, eps, *map(Tensor.data_ptr, (*read, said, shrunk_N)))
            return said

        ctx.save_for_backward(states, weight_D, shrunk_N)
        ctx.kernels = kernels
        said = make()
        can_be_made(said, make)
        return said

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        states, weight_D, shrunk_N = ctx.saved_tensors
        d_said, d_states = grads[0].contiguous(), torch.empty_like(states)
        wanted, parts_XD = ctx.needs_input_grad[1], weight_D.new_zeros(ctx.kernels.threads, len(weight_D))
        ctx.kernels.call(
            "norm_backward", len(shrunk_N), len(weight_D),
            *map(Tensor.data_ptr, (states, weight_D, shrunk_N, d_said, d_states)),
            parts_XD.data_ptr() if wanted else None,
        )  # fmt: skip
        return d_states, parts_XD.sum(dim=0) if wanted else None, None


# Gated units ------------------------------------------------------------------------------------------


def _is_gated(module: nn.Module) -> bool:
    unit: Any = module
    if not all(isinstance(getattr(unit, name, None), nn.Module) for name in GATED):
        return False
    width = getattr(unit.gate_proj, "in_features", None)
    if width is None or not are_plain(next(unit.parameters())):
        return False
    probe_1ND = _numbers(width)
    gated_1NI = nn.functional.silu(unit.gate_proj(probe_1ND)) * unit.up_proj(probe_1ND)
    return _agrees(unit, probe_1ND, unit.down_proj(gated_1NI))


class _Gated:
    def __init__(self, module: nn.Module) -> None:
        self.module: Any = module

    def __call__(self, states: Tensor) -> Tensor:
        unit = self.module
        gate, up = unit.gate_proj(states), unit.up_proj(states)
        if in_use() is None or not are_plain(gate, up) or not gate.numel():
            gated: Tensor = unit.act_fn(gate) * up
        else:
            gated = _Gate.apply(gate, up)  # type: ignore[no-untyped-call]
        said: Tensor = unit.down_proj(gated)
        return said


class _Gate(torch.autograd.Function):
    """silu(gate) * up (arXiv 2002.05202)."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        kernels = in_use()
        assert kernels is not None
        ctx.shape, ctx.kernels = gate.shape, kernels
        gate_NI, up_NI = (_lines(part.detach()) for part in (gate, up))

        def make() -> Tensor:
            said_NI = gate_NI.new_empty(gate_NI.shape)
            kernels.call("gate_forward", *gate_NI.shape, *_lying(gate_NI), *_lying(up_NI), said_NI.data_ptr())
            return said_NI

        ctx.save_for_backward(gate_NI, up_NI)
        said_NI = make()
        can_be_made(said_NI, make)
        return said_NI.view(gate.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        gate_NI, up_NI = ctx.saved_tensors
        d_said_NI = grads[0].contiguous()
        d_gate_NI, d_up_NI = (part.new_empty(part.shape) for part in (gate_NI, up_NI))
        ctx.kernels.call(
            "gate_backward", *gate_NI.shape, *_lying(gate_NI), *_lying(up_NI),
            *map(Tensor.data_ptr, (d_said_NI, d_gate_NI, d_up_NI)),
        )  # fmt: skip
        return d_gate_NI.view(ctx.shape), d_up_NI.view(ctx.shape)


def _lines(states: Tensor) -> Tensor:
    """[N, I], the numbers of each line side by side; no copy of what is a part of wider lines."""
    lines_NI = states.flatten(0, -2)
    return lines_NI if lines_NI.stride(1) == 1 else lines_NI.contiguous()


def _lying(lines_NI: Tensor) -> tuple[int, int]:
    """Where lines begin, and how far apart they are."""
    return lines_NI.data_ptr(), lines_NI.stride(0)
