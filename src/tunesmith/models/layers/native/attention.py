"""Attention of rows that lie one after another, by the kernels; `tunesmith.models.packing.attention` calls it.

Tensors: N tokens of all rows, B rows, H query heads, G key and value heads, K head width.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from tunesmith.models.layers.native.heads import Heads, lined
from tunesmith.models.layers.native.library import Library, in_use
from tunesmith.models.layers.native.replaced import are_plain
from tunesmith.models.packing.layout import Layout

QUERIES = 64
"""Queries that the kernels take at a time; as in the kernels."""


class _Rows(ctypes.Structure):
    _fields_ = [
        ("rows", ctypes.c_int64), ("starts", ctypes.c_void_p), ("lengths", ctypes.c_void_p),
        ("key_heads", ctypes.c_int64), ("queries_each", ctypes.c_int64), ("head", ctypes.c_int64),
        ("scale", ctypes.c_float), ("causal", ctypes.c_int64), ("window", ctypes.c_int64),
        ("longest", ctypes.c_int64),
    ]  # fmt: skip


def attend(query_NHK: Tensor, key_NGK: Tensor, value_NGK: Tensor, layout: Layout, causal: bool, scale: float,
           window: int | None) -> Tensor | None:  # fmt: skip
    """softmax(scale Q K') V within each row [N, H, K]; None for what the kernels are not used for.

    They are used for fp32 without dropout, and where there is a key head of a row for every thread.
    """
    kernels, states = in_use(), (query_NHK, key_NGK, value_NGK)
    if kernels is None or not are_plain(*states):
        return None
    heads, key_heads, width = query_NHK.shape[1], *key_NGK.shape[1:]
    if value_NGK.shape[-1] != width or heads % key_heads:
        return None
    if len(layout.lengths) * key_heads < kernels.threads:
        return None
    said: Tensor = _Attention.apply(*map(lined, states), kernels, layout, causal, scale, window)  # type: ignore[no-untyped-call]
    return said


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query_NHK: Tensor, key_NGK: Tensor, value_NGK: Tensor, kernels: Library, layout: Layout,
                causal: bool, scale: float, window: int | None) -> Tensor:  # fmt: skip
        tokens, heads, width = query_NHK.shape
        lengths_B, order_B = torch.tensor(layout.lengths).sort(descending=True)  # the longest first: none waits for it
        rows = _Rows(len(lengths_B), (starts_B := layout.starts_B[order_B]).data_ptr(), lengths_B.data_ptr(),
                     key_NGK.shape[1], heads // key_NGK.shape[1], width, scale, causal, window or 0,
                     layout.longest)  # fmt: skip
        said_NHK, logsum_NH = query_NHK.new_empty(query_NHK.shape), query_NHK.new_empty(tokens, heads)
        room = _room(kernels, rows, 1, 2)
        kernels.call(
            "attention_forward", kernels.sgemm, ctypes.byref(rows), *map(Heads.of, (query_NHK, key_NGK, value_NGK)),
            said_NHK.data_ptr(), logsum_NH.data_ptr(), room.data_ptr(),
        )  # fmt: skip
        ctx.save_for_backward(query_NHK, key_NGK, value_NGK, said_NHK, logsum_NH)
        ctx.settings = kernels, rows, starts_B, lengths_B
        return said_NHK

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query_NHK, key_NGK, value_NGK, said_NHK, logsum_NH = ctx.saved_tensors
        kernels, rows, *_ = ctx.settings
        d_query_NHK = query_NHK.new_empty(query_NHK.shape)
        d_key_NGK, d_value_NGK = (part.new_zeros(part.shape) for part in (key_NGK, value_NGK))
        read, room = (query_NHK, key_NGK, value_NGK, said_NHK, lined(grads[0])), _room(kernels, rows, 2, 4)
        kernels.call(
            "attention_backward", kernels.sgemm, ctypes.byref(rows), *map(Heads.of, read), logsum_NH.data_ptr(),
            *(part.data_ptr() for part in (d_query_NHK, d_key_NGK, d_value_NGK, room)),
        )  # fmt: skip
        return d_query_NHK, d_key_NGK, d_value_NGK, None, None, None, None, None


def _room(kernels: Library, rows: Any, longest: int, heads: int) -> Tensor:
    """What every thread writes in between: so many lines of scores, and of heads, for a block's queries."""
    lines = kernels.threads * rows.queries_each * QUERIES
    return torch.empty(lines * (longest * rows.longest + heads * rows.head))
