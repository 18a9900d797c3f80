"""Rotations of queries and keys by the positions of their tokens, in one pass over memory and not in ten.

Transformers writes the same function into the file of every architecture that has it. Those that turn the first half
of a head with its second stand aside while the kernels are used; which do is measured.

Tensors: N tokens, H query heads, G key heads, K head width.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.models.layers.native.heads import Heads, lined
from tunesmith.models.layers.native.library import Library, in_use
from tunesmith.models.layers.native.replaced import PROBE, Replaced, are_plain, close, numbers

NAME = "apply_rotary_pos_emb"
"""What transformers calls it."""
WIDTH = 8
"""Of the heads on which it is measured."""


def rotations(model: nn.Module) -> list[Replaced]:
    """The functions by which a model's layers rotate, where the kernels can do it."""
    files = {sys.modules[type(module).__module__]: None for module in model.modules()}
    found = ((file, vars(file)[NAME]) for file in files if callable(vars(file).get(NAME)))
    return [Replaced(file, _Rotary(rotary), NAME) for file, rotary in found if _turns_halves(rotary)]


def _turns_halves(rotary: Callable[..., Any]) -> bool:
    query_1HNK = numbers(2 * WIDTH).view(1, PROBE, 2, WIDTH).transpose(1, 2)
    key_1GNK, (_, cos_1NK, sin_1NK) = query_1HNK[:, 1:], numbers(3 * WIDTH).view(3, 1, PROBE, WIDTH)
    try:
        said = rotary(query_1HNK, key_1GNK, cos_1NK, sin_1NK)
    except Exception:  # another function of that name
        return False
    if not isinstance(said, tuple) or len(said) != 2:
        return False
    return all(
        close(turned, states * cos_1NK + _crossed(states) * sin_1NK)
        for turned, states in zip(said, (query_1HNK, key_1GNK), strict=True)
    )


def _crossed(states: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)


class _Rotary:
    """What is done instead of transformers' function."""

    def __init__(self, plain: Callable[..., tuple[Tensor, Tensor]]) -> None:
        self.plain = plain

    def __call__(self, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *args: Any, **settings: Any) -> Any:
        kernels = in_use()
        if kernels is None or args or settings not in ({}, {"unsqueeze_dim": 1}) or not _suits(q, k, cos, sin):
            return self.plain(q, k, cos, sin, *args, **settings)
        cos_NK, sin_NK = cos[0].contiguous(), sin[0].contiguous()
        return tuple(_Rotate.apply(states, cos_NK, sin_NK, kernels) for states in (q, k))  # type: ignore[no-untyped-call]


def _suits(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> bool:
    """Whether whole heads of one line of tokens are turned."""
    if not are_plain(query, key, cos, sin) or query.dim() != 4 or not query.numel():
        return False
    lines, _, tokens, width = query.shape
    whole = key.dim() == 4 and (len(key), *key.shape[2:]) == (lines, tokens, width)
    return whole and lines == 1 and cos.shape == sin.shape == (1, tokens, width)


class _Rotate(torch.autograd.Function):
    """x cos + (x's halves crossed) sin (arXiv 2104.09864)."""

    @staticmethod
    def forward(ctx: Any, states_1HNK: Tensor, cos_NK: Tensor, sin_NK: Tensor, kernels: Library) -> Tensor:
        ctx.save_for_backward(cos_NK, sin_NK)
        ctx.kernels = kernels
        return _rotated(kernels, states_1HNK, cos_NK, sin_NK, False)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        cos_NK, sin_NK = ctx.saved_tensors
        return _rotated(ctx.kernels, grads[0], cos_NK, sin_NK, True), None, None, None


def _rotated(kernels: Library, states_1HNK: Tensor, cos_NK: Tensor, sin_NK: Tensor, back: bool) -> Tensor:
    states_NHK = lined(states_1HNK[0].transpose(0, 1))
    said_NHK = torch.empty(states_NHK.shape)
    kernels.call("rotate", *states_NHK.shape, Heads.of(states_NHK), cos_NK.data_ptr(), sin_NK.data_ptr(), back,
                 said_NHK.data_ptr())  # fmt: skip
    return said_NHK.transpose(0, 1)[None]
