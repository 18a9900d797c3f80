"""RMSNorms in one pass, and without what torch keeps for the way back.

A norm keeps its input and a number a token; torch's operators keep the input twice over.

Tensors: N tokens, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.models.layers.native.again import can_be_made
from tunesmith.models.layers.native.library import in_use
from tunesmith.models.layers.native.replaced import Replaced, agrees, are_plain, numbers


def norm(module: nn.Module) -> Replaced | None:
    """How the kernels compute a module, if it is an RMSNorm."""
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    weights = dict(module.named_parameters())
    if list(weights) != ["weight"] or not isinstance(eps, float) or "RMSNorm" not in type(module).__name__:
        return None
    weight_D = weights["weight"]
    if weight_D.dim() != 1 or not are_plain(weight_D):
        return None
    probe_1ND = numbers(len(weight_D))
    normal_1ND = probe_1ND * torch.rsqrt(probe_1ND.pow(2).mean(-1, keepdim=True) + eps)
    for offset in (0.0, 1.0):  # Gemma's weights are what is added to one
        if agrees(module, probe_1ND, normal_1ND * (weight_D + offset)):
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
