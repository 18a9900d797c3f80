"""LoRA's layers that read the same states, by kernels: one call forth and one back.

Tensors: N tokens, D width of what is read, O outputs of a layer, r its ranks, R those of all layers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from tunesmith.models.layers.native.library import Library, in_use
from tunesmith.models.layers.native.products import WIDE, better, suits

MOST = 64
"""Ranks beyond which a BLAS has enough to do."""


class _Layer(ctypes.Structure):
    """As the kernels name it."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "up", "said", "d_up")),
        *((name, ctypes.c_int64) for name in ("said_stride", "outputs", "ranks")),
        ("scale", ctypes.c_float),
    )


def kernels_for(x_ND: Tensor, weights_OD: Sequence[Tensor], ups_Or: Sequence[Tensor]) -> Library | None:
    """The kernels, where they compute these layers faster than products one by one."""
    kernels, ranks = in_use(), [up.shape[1] for up in ups_Or]
    if kernels is None or not better() or max(ranks) > MOST or any(rank % WIDE for rank in ranks):
        return None
    lies = x_ND.stride(1) == 1 and all(matrix.is_contiguous() for matrix in (*weights_OD, *ups_Or))
    return kernels if lies and suits(x_ND, *weights_OD, *ups_Or) else None


def forward(
    kernels: Library, x_ND: Tensor, weights_OD: Sequence[Tensor], down_RD: Tensor, ups_Or: Sequence[Tensor],
    scales: Sequence[float],
) -> tuple[list[Tensor], Tensor]:  # fmt: skip
    """What each layer says, x W' + scale (x A') B', and all of x A' [N, R]."""
    said_NO = [x_ND.new_empty(len(x_ND), len(up)) for up in ups_Or]
    low_NR = x_ND.new_empty(len(x_ND), len(down_RD))
    layers = _layers(weights_OD, ups_Or, said_NO, [None] * len(said_NO), scales)
    kernels.call(
        "lora_forward", *x_ND.shape, len(down_RD), x_ND.data_ptr(), x_ND.stride(0), down_RD.data_ptr(),
        low_NR.data_ptr(), len(layers), layers,
    )  # fmt: skip
    return said_NO, low_NR


def backward(
    kernels: Library, x_ND: Tensor, weights_OD: Sequence[Tensor], down_RD: Tensor, ups_Or: Sequence[Tensor],
    scales: Sequence[float], low_NR: Tensor, d_said_NO: Sequence[Tensor], *, wants_states: bool,
) -> tuple[Tensor | None, Tensor, list[Tensor]]:  # fmt: skip
    """The gradients of x, if wanted, of A as [R, D] and of every B."""
    (count, width), ranks = x_ND.shape, len(down_RD)
    d_x_ND = x_ND.new_empty(count, width) if wants_states else None
    d_low_NR, d_down_DR = torch.empty_like(low_NR), x_ND.new_empty(width, ranks)
    d_ups_Or = [torch.empty_like(up) for up in ups_Or]
    room = x_ND.new_empty(kernels.threads, max(d_down_DR.numel(), *(up.numel() for up in ups_Or)))
    lined_NO = [d_said if d_said.stride(1) == 1 else d_said.contiguous() for d_said in d_said_NO]
    layers = _layers(weights_OD, ups_Or, lined_NO, d_ups_Or, scales)
    kernels.call(
        "lora_backward", count, width, ranks, x_ND.data_ptr(), x_ND.stride(0), down_RD.data_ptr(), low_NR.data_ptr(),
        d_low_NR.data_ptr(), d_down_DR.data_ptr(), None if d_x_ND is None else d_x_ND.data_ptr(), len(layers), layers,
        room.data_ptr(),
    )  # fmt: skip
    return d_x_ND, d_down_DR.T, d_ups_Or


def _layers(
    weights_OD: Sequence[Tensor], ups_Or: Sequence[Tensor], said_NO: Sequence[Tensor],
    d_ups_Or: Sequence[Tensor | None], scales: Sequence[float],
) -> ctypes.Array[_Layer]:  # fmt: skip
    """The layers as the kernels read them: places in memory of matrices that outlive the call."""
    made = (_Layer * len(scales))()
    for layer, weight, up, said, d_up, scale in zip(made, weights_OD, ups_Or, said_NO, d_ups_Or, scales, strict=True):
        layer.weight, layer.up, layer.said = weight.data_ptr(), up.data_ptr(), said.data_ptr()
        layer.d_up = None if d_up is None else d_up.data_ptr()
        layer.said_stride, (layer.outputs, layer.ranks), layer.scale = said.stride(0), up.shape, scale
    return made
