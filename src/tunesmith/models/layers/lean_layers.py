"""Norms and gated feed-forward layers that read less memory, and keep less of it for the backward pass.

As they are written in transformers, an RMSNorm keeps its input and its normed states and makes a dozen passes over
memory, and a gated layer keeps the gate's activation and the product beside what both are computed from. Here a
norm keeps its input and one number a token, and a gated layer its gate and its states; the rest is computed again
where it is needed. Which modules are such layers is measured, so no architecture is named.

Tensors: N tokens, D hidden width, I width inside of a feed-forward layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

if TYPE_CHECKING:
    from tunesmith.models.model import Model

PROBE = 3
"""Tokens on which it is measured."""

_GATES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[..., Tensor]]] = {
    "silu": (functional.silu, torch.ops.aten.silu_backward.grad_input),
    "gelu": (functional.gelu, torch.ops.aten.gelu_backward.grad_input),
    "gelu_tanh": (
        partial(functional.gelu, approximate="tanh"),
        partial(torch.ops.aten.gelu_backward.grad_input, approximate="tanh"),
    ),
}
"""Activations of gates, and their gradients from that of what they said and what they read, written to `grad_input`."""


Forward = Callable[[Tensor], Tensor]


@torch.no_grad()
def lean_layers(model: Model) -> list[tuple[nn.Module, Forward]]:
    """The model's norms and gated layers, each with what computes it. Call it where the model computes in fp32.

    Encoder-decoders are left as they are: T5's unscaled attention lets roundings grow.
    """
    if model.family == "encoder_decoder":
        return []
    found: list[tuple[nn.Module, Forward]] = []
    for module in model.module.modules():
        forward = _as_norm(module) or _as_gated(module)
        if forward is not None:
            found.append((module, forward))
    return found


@contextmanager
def leaner(layers: Sequence[tuple[nn.Module, Forward]]) -> Iterator[None]:
    """Lets these layers be computed so; same outputs and gradients."""
    for module, forward in layers:
        module.forward = forward
    try:
        yield
    finally:
        for module, _ in layers:
            del module.forward


# Norms ----------------------------------------------------------------------------------------------


def _as_norm(module: Any) -> Forward | None:
    """How to compute a module that is an RMSNorm (arXiv 1910.07467); None for any other."""
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    weights = dict(module.named_parameters())
    if (
        "forward" in vars(module)
        or not isinstance(eps, float)
        or set(weights) != {"weight"}
        or weights["weight"].dim() != 1
    ):
        return None
    weight = weights["weight"]
    if weight.dtype == torch.float64:  # computed in fp32 it would be less than it is
        return None
    states_ND = torch.linspace(-2, 3, PROBE * len(weight), device=weight.device).view(PROBE, -1).to(weight.dtype)
    both = (states_ND, states_ND.bfloat16())
    try:
        expected = [module(states) for states in both]
    except Exception:  # whatever it is, it is not a norm as we know it
        return None
    rounds = expected[1].dtype == torch.bfloat16
    for shift in (0.0, 1.0):
        found = [_Norm.apply(states, weight, eps, shift, rounds) for states in both]  # type: ignore[no-untyped-call]
        # Of rounded states it may round what it says once more, or not.
        if all(map(_same, found, expected, (1e-5, 2e-2))):
            return lambda states: _Norm.apply(states, module.weight, eps, shift, rounds)  # type: ignore[no-untyped-call]
    return None


class _Norm(torch.autograd.Function):
    """x / rms(x) * (w + shift); where it `rounds`, in the precision of x."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight_D: Tensor, eps: float, shift: float, rounds: bool) -> Tensor:
        x_ND = states.flatten(0, -2).float()
        factor_D = weight_D.float() + shift if shift else weight_D.float()
        mean_N1 = torch.linalg.vector_norm(x_ND, dim=-1, keepdim=True).square_().div_(x_ND.shape[1])
        scale_N1 = mean_N1.add_(eps).rsqrt_()
        ctx.save_for_backward(states, scale_N1, factor_D)
        ctx.weight_dtype = weight_D.dtype
        said = torch.mul(x_ND, scale_N1).mul_(factor_D).view(states.shape)
        return said.to(states.dtype if rounds else torch.promote_types(states.dtype, weight_D.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        states, scale_N1, factor_D = ctx.saved_tensors
        x_ND, d_said_ND = states.flatten(0, -2).float(), grads[0].flatten(0, -2).float()
        both_ND = d_said_ND * x_ND
        d_weight = None
        if ctx.needs_input_grad[1]:
            d_weight = torch.mv(both_ND.T, scale_N1.view(-1)).to(ctx.weight_dtype)
        d_states = None
        if ctx.needs_input_grad[0]:
            drawn_N1 = torch.mv(both_ND, factor_D)[:, None].mul_(scale_N1**3).div_(-x_ND.shape[1])
            d_x_ND = torch.mul(d_said_ND, factor_D, out=both_ND).mul_(scale_N1).addcmul_(x_ND, drawn_N1)
            d_states = d_x_ND.view(states.shape).to(states.dtype)
        return d_states, d_weight, None, None, None


# Gated layers ---------------------------------------------------------------------------------------


def _as_gated(module: Any) -> Forward | None:
    """How to compute a module that is down(act(gate(x)) * up(x)) (arXiv 2002.05202); None for any other."""
    parts = {"gate_proj", "up_proj", "down_proj", "act_fn"}
    if "forward" in vars(module) or not parts <= {name for name, _ in module.named_children()}:
        return None
    weight = module.gate_proj.weight if hasattr(module.gate_proj, "weight") else None
    if weight is None or weight.dim() != 2:
        return None
    sample = torch.linspace(-4, 4, 33, device=weight.device)
    kind = next((kind for kind, (act, _) in _GATES.items() if _same(act(sample), module.act_fn(sample))), None)
    if kind is None:
        return None

    def forward(states: Tensor) -> Tensor:
        gate, up = module.gate_proj(states), module.up_proj(states)
        said: Tensor = _Gate.apply(gate, up, kind)  # type: ignore[no-untyped-call]
        with _computed_again(said, gate.detach(), up.detach(), kind):
            down: Tensor = module.down_proj(said)
            return down

    states_1ND = torch.linspace(-1, 1, PROBE * weight.shape[1], device=weight.device).view(1, PROBE, -1)
    training = module.training
    module.eval()
    try:
        return forward if _same(forward(states_1ND), module(states_1ND)) else None
    except Exception:  # whatever it is, it is not such a layer
        return None
    finally:
        module.train(training)


def _computed_again(said: Tensor, gate: Tensor, up: Tensor, kind: str) -> saved_tensors_hooks:
    """Whoever keeps `said` for the backward pass keeps what it is computed from, which is kept anyway."""

    def pack(kept: Tensor) -> Any:
        same = kept.data_ptr() == said.data_ptr() and kept.numel() == said.numel() and kept.is_contiguous()
        return kept.shape if same else kept

    def unpack(kept: Any) -> Tensor:
        return kept if isinstance(kept, Tensor) else _GATES[kind][0](gate).mul_(up).view(kept)

    return saved_tensors_hooks(pack, unpack)


class _Gate(torch.autograd.Function):
    """act(gate) * up."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, kind: str) -> Tensor:
        ctx.save_for_backward(gate, up)
        ctx.kind = kind
        return _GATES[kind][0](gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gate, up = ctx.saved_tensors
        act, backward = _GATES[ctx.kind]
        # Side by side in memory, as the product that made both takes them back.
        d_gate, d_up = gate.new_empty(*gate.shape[:-1], 2 * gate.shape[-1]).chunk(2, dim=-1)
        said = act(gate)
        torch.mul(grads[0], said, out=d_up)
        backward(torch.mul(grads[0], up, out=said), gate, grad_input=d_gate)
        return d_gate, d_up, None


def _same(found: Tensor, expected: Tensor, near: float = 1e-5) -> bool:
    """Whether two outputs agree but for rounding, in the same precision."""
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    near = near if found.dtype == torch.float32 else 2e-2
    return float((found - expected).abs().max()) <= near * max(float(expected.abs().max()), 1e-6)
