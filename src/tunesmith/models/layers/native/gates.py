"""Gated units: silu(gate) * up in one pass, and without what torch keeps between the two.

Tensors: N tokens, D width, I inner width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.autograd import Function

from tunesmith.models.layers.native.again import can_be_made
from tunesmith.models.layers.native.library import in_use
from tunesmith.models.layers.native.replaced import Replaced, agrees, are_plain, numbers

PARTS = ("gate_proj", "up_proj", "down_proj", "act_fn")
"""What transformers calls the parts of a gated unit."""


def gate(module: nn.Module) -> Replaced | None:
    """How the kernels compute a module, if it is a unit gated by a SiLU."""
    unit: Any = module
    if not all(isinstance(getattr(unit, name, None), nn.Module) for name in PARTS):
        return None
    width = getattr(unit.gate_proj, "in_features", None)
    if width is None or not are_plain(next(unit.parameters())):
        return None
    probe_1ND = numbers(width)
    gated_1NI = nn.functional.silu(unit.gate_proj(probe_1ND)) * unit.up_proj(probe_1ND)
    return Replaced(unit, _Gated(unit)) if agrees(unit, probe_1ND, unit.down_proj(gated_1NI)) else None


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


class _Gate(Function):
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
