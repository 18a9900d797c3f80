"""Attention over rows that lie one after another, for every architecture of transformers that lets it in.

Registered with transformers under the name ATTENTION. A call that brings a `layout` (tunesmith.models.packing.layout)
is computed row by row, in buckets of equal lengths, or against a cache (tunesmith.models.packing.kv_cache); any
other call is transformers' own SDPA attention.

On a CPU torch's flash kernels leave most of the machine unused at the lengths of fine-tuning (docs/log.md).
There attention is matrix products, some queries at a time, over no key that they cannot see; scores and
softmax are fp32 whatever the model computes in. A training in fp32 has kernels of its own for it
(tunesmith.models.layers.native.attention).

Tensors: N tokens of all rows, B rows of a bucket, T tokens of its longest row, Q queries of a block, S the
keys they look at, H query heads, G key and value heads, R query heads of a key head (H = G R), K head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tunesmith.models.layers.native.attention import attend
from tunesmith.models.packing.kv_cache import Growth
from tunesmith.models.packing.layout import Bucket, Layout

ATTENTION = "tunesmith"
"""The name that `set_attn_implementation` knows it by."""

QUERIES = 64
"""Queries of a block: more of them look at more keys in vain, fewer make small matrices."""

EXACT = 384
"""Rows up to this long are computed in fp32 throughout, which costs little there."""
UNSEEN = -1e30
"""Added to scores of keys that are not seen: finite, since padded queries of a window may see none."""

_KNOWN = {"sliding_window", "is_causal", "position_ids", "use_cache", "cache_position", "deterministic"}
"""Keywords of attention calls that are understood here or change no figure; with any other, rows are padded."""


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    layout: Layout | None = None,
    **settings: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as transformers calls it.

    Args:
        query: [1, H, N, K] with a layout, else any shape that SDPA takes; key and value likewise with G heads.
        attention_mask: not looked at when there is a layout.
        layout: how the N tokens divide into rows.

    Returns:
        [1, N, H, K], and None for the weights.

    Raises:
        NotImplementedError: with a layout, for what is not understood here (`Model.packs` finds out).
    """
    if layout is None:
        found: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **settings
        )
        return found
    if unknown := [name for name, given in settings.items() if name not in _KNOWN and given is not None]:
        raise NotImplementedError(f"attention with {', '.join(unknown)}")
    is_causal = settings.get("is_causal")
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    window = settings.get("sliding_window")
    window = window if window is not None and window < layout.longest else None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    rows_NHK, rows_NGK, rows_NGV = (states.squeeze(0).transpose(0, 1) for states in (query, key, value))
    if isinstance(layout, Growth):
        if not causal:
            raise NotImplementedError("attention that looks ahead, with a cache")
        layout.cache.write(module, layout, rows_NGK, rows_NGV)
        if layout.behind[0]:
            return layout.attend(module, rows_NHK, scale, window).unsqueeze(0), None
    compute = _with_kernels if query.device.type != "cpu" else _on_cpu
    said_NHK = compute(rows_NHK, rows_NGK, rows_NGV, layout, causal, scale, dropout, window)
    return said_NHK.unsqueeze(0), None


def register() -> None:
    """Makes ATTENTION known to transformers; doing it twice changes nothing."""
    AttentionInterface.register(ATTENTION, attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)


# By torch's own kernels ---------------------------------------------------------------------------


def _with_kernels(
    query_NHK: Tensor, key_NGK: Tensor, value_NGK: Tensor, layout: Layout, causal: bool, scale: float,
    dropout: float, window: int | None,
) -> Tensor:  # fmt: skip
    """SDPA on every bucket; the kernel is torch's choice."""
    pieces, places = [], []
    for bucket in layout.buckets:
        query, key, value = (bucket.take(states).transpose(1, 2) for states in (query_NHK, key_NGK, value_NGK))
        mask = _mask(bucket, causal, window, query.device)
        said_BHTK = scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal and mask is None, scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )  # fmt: skip
        flat = said_BHTK.transpose(1, 2).flatten(0, 1)
        real = slice(None) if bucket.real_BT is None else bucket.real_BT.view(-1)
        pieces.append(flat[real])
        places.append(bucket.token_BT.view(-1)[real])
    place_N = torch.cat(places)
    back_N = torch.empty_like(place_N)
    back_N[place_N] = torch.arange(len(place_N), device=place_N.device)
    return torch.cat(pieces).index_select(0, back_N)


def _mask(bucket: Bucket, causal: bool, window: int | None, device: torch.device) -> Tensor | None:
    """[B or 1, 1, T, T], True where a token is seen; None where causality alone says it."""
    if window is None and (causal or bucket.real_BT is None):
        return None  # padding stands after every real token, where causal attention never looks
    places_T = torch.arange(bucket.width, device=device)
    distance_TT = places_T[:, None] - places_T[None, :]
    seen_TT = distance_TT >= 0 if causal else torch.ones_like(distance_TT, dtype=torch.bool)
    if window is not None:
        seen_TT = seen_TT & (distance_TT.abs() < window)
    seen_B1TT = seen_TT[None, None]
    if not causal and bucket.real_BT is not None:
        seen_B1TT = seen_B1TT & bucket.real_BT[:, None, None, :]
    return seen_B1TT


# On a CPU -------------------------------------------------------------------------------------------


def _on_cpu(
    query_NHK: Tensor, key_NGK: Tensor, value_NGK: Tensor, layout: Layout, causal: bool, scale: float,
    dropout: float, window: int | None,
) -> Tensor:  # fmt: skip
    states = query_NHK, key_NGK, value_NGK
    said_NHK = None if dropout else attend(*states, layout, causal, scale, window)
    if said_NHK is None:
        said_NHK = _Rows.apply(*states, layout, causal, scale, dropout, window)  # type: ignore[no-untyped-call]
    return said_NHK


class _Rows(torch.autograd.Function):
    """softmax(scale Q K') V within each row; the weights are computed again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, query_NHK: Tensor, key_NGK: Tensor, value_NGK: Tensor, layout: Layout, causal: bool,
                scale: float, dropout: float, window: int | None) -> Tensor:  # fmt: skip
        said_NHK = value_NGK.new_empty(*query_NHK.shape[:2], value_NGK.shape[-1])
        shown: list[Tensor] = []
        # What the precision of each product is, is said here and not by autocast.
        with torch.autocast("cpu", enabled=False):
            for bucket in layout.buckets:
                query, key, value = _grouped(bucket, query_NHK, key_NGK, value_NGK)
                said = value.new_empty(*query.shape[:-1], value.shape[-1])
                for block in _blocks(bucket, causal, window):
                    weights = _weights(query, key, block, scale)
                    if dropout:
                        shown.append(torch.empty_like(weights, dtype=torch.bool).bernoulli_(1 - dropout))
                        weights = weights.mul_(shown[-1]).div_(1 - dropout)
                    said[:, :, :, block.queries] = _times(weights.to(value.dtype), value[:, :, block.keys])
                bucket.put(said_NHK, said.flatten(1, 2).transpose(1, 2))
        ctx.save_for_backward(query_NHK, key_NGK, value_NGK, said_NHK, *shown)
        ctx.settings = layout, causal, scale, dropout, window
        return said_NHK

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query_NHK, key_NGK, value_NGK, said_NHK, *shown = ctx.saved_tensors
        layout, causal, scale, dropout, window = ctx.settings
        d_query_NHK, d_key_NGK, d_value_NGK = (torch.empty_like(part) for part in (query_NHK, key_NGK, value_NGK))
        for bucket in layout.buckets:
            query, key, value = _grouped(bucket, query_NHK, key_NGK, value_NGK)
            shape = (*query.shape[:-1], value.shape[-1])
            d_said, said = (
                bucket.take(part).transpose(1, 2).reshape(shape).to(value.dtype) for part in (grads[0], said_NHK)
            )
            if bucket.real_BT is not None:
                d_said = d_said * bucket.real_BT[:, None, None, :, None]
            # The sum over a row of d_weights * weights is that of d_said * said.
            inner = (d_said.to(query.dtype) * said.to(query.dtype)).sum(dim=-1, keepdim=True)
            d_query = torch.empty_like(query)
            d_key, d_value = torch.zeros_like(key), torch.zeros_like(value, dtype=key.dtype)
            for block in _blocks(bucket, causal, window):
                weights = _weights(query, key, block, scale)
                kept = shown.pop(0) if dropout else None
                d_scores, d_part = _backward(weights, value, d_said, inner, block, kept, dropout)
                d_value[:, :, block.keys] += d_part
                d_scores = d_scores.mul_(scale).to(value.dtype)
                seen, asked = key[:, :, block.keys].to(value.dtype), query[:, :, :, block.queries].to(value.dtype)
                d_query[:, :, :, block.queries] = _times(d_scores, seen)
                d_key[:, :, block.keys] += _summed(d_scores, asked)
            bucket.put(d_query_NHK, d_query.flatten(1, 2).transpose(1, 2))
            bucket.put(d_key_NGK, d_key.transpose(1, 2))
            bucket.put(d_value_NGK, d_value.transpose(1, 2))
        return d_query_NHK, d_key_NGK, d_value_NGK, None, None, None, None, None


@dataclass(frozen=True)
class _Block:
    """Some queries of a bucket's rows, and the keys they may see."""

    queries: slice
    keys: slice
    bias: Tensor | None
    """What is added to the scores so that nothing else is seen, [1 or B, 1, 1, Q or 1, S]."""


def _blocks(bucket: Bucket, causal: bool, window: int | None) -> Iterator[_Block]:
    for start in range(0, bucket.width, QUERIES):
        stop = min(start + QUERIES, bucket.width)
        first = 0 if window is None else max(0, start - window + 1)
        last = stop if causal else bucket.width if window is None else min(bucket.width, stop + window - 1)
        yield _Block(slice(start, stop), slice(first, last), _bias(bucket, start, stop, first, last, causal, window))


def _bias(
    bucket: Bucket, start: int, stop: int, first: int, last: int, causal: bool, window: int | None
) -> Tensor | None:
    if causal or window is not None:
        ahead_QS = torch.arange(first, last) - torch.arange(start, stop)[:, None]
        hidden_QS = ahead_QS > 0 if causal else torch.zeros_like(ahead_QS, dtype=torch.bool)
        if window is not None:
            hidden_QS = hidden_QS | (ahead_QS.abs() >= window)
        hidden = hidden_QS[None, None, None]
    # Padding stands after every real token, where causal attention never looks.
    if not causal and bucket.real_BT is not None:
        padding = ~bucket.real_BT[:, None, None, None, first:last]
        hidden = padding if window is None else hidden | padding
    elif not causal and window is None:
        return None
    return torch.zeros(hidden.shape).masked_fill_(hidden, UNSEEN)


def _grouped(bucket: Bucket, query_NHK: Tensor, key_NGK: Tensor, value_NGK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The bucket's queries [B, G, R, T, K], keys and values [B, G, T, K]; fp32 or better, but values of long rows."""
    query, key, value = (bucket.take(states).transpose(1, 2) for states in (query_NHK, key_NGK, value_NGK))
    B, H, T, K = query.shape
    G = key.shape[1]
    exact = torch.promote_types(query.dtype, torch.float32)
    short = value.to(exact) if T <= EXACT else value
    return query.to(exact).reshape(B, G, H // G, T, K), key.to(exact), short


def _weights(query: Tensor, key: Tensor, block: _Block, scale: float) -> Tensor:
    """The attention weights [B, G, R, Q, S] of a block, in fp32."""
    asked, seen = query[:, :, :, block.queries], key[:, :, block.keys]
    B, G, R, Q, K = asked.shape
    flat = torch.baddbmm(
        asked.new_empty(1), asked.reshape(B * G, R * Q, K), seen.flatten(0, 1).transpose(1, 2), beta=0, alpha=scale
    )
    scores = flat.view(B, G, R, Q, -1)
    if block.bias is not None:
        scores += block.bias
    return scores.softmax(dim=-1)


def _times(left_BGRQS: Tensor, right_BGSK: Tensor) -> Tensor:
    """[B, G, R, Q, K]."""
    B, G, R, Q, S = left_BGRQS.shape
    return torch.bmm(left_BGRQS.reshape(B * G, R * Q, S), right_BGSK.reshape(B * G, S, -1)).view(B, G, R, Q, -1)


def _summed(left_BGRQS: Tensor, right_BGRQK: Tensor) -> Tensor:
    """The transpose of the first times the second, summed over queries and their heads: [B, G, S, K]."""
    B, G, R, Q, S = left_BGRQS.shape
    flat = left_BGRQS.reshape(B * G, R * Q, S).transpose(1, 2)
    return torch.bmm(flat, right_BGRQK.reshape(B * G, R * Q, -1)).view(B, G, S, -1)


def _backward(
    weights: Tensor, value: Tensor, d_said: Tensor, inner: Tensor, block: _Block, shown: Tensor | None, dropout: float
) -> tuple[Tensor, Tensor]:
    """Gradients of a block's scores, in fp32, and of the values it looked at."""
    d_said = d_said[:, :, :, block.queries]
    used = weights if shown is None else (weights * shown).div_(1 - dropout)
    d_value = _summed(used.to(value.dtype), d_said)
    d_scores = _times(d_said, value[:, :, block.keys].transpose(2, 3)).to(weights.dtype)
    if shown is not None:
        d_scores = d_scores.mul_(shown).div_(1 - dropout)
    return d_scores.sub_(inner[:, :, :, block.queries]).mul_(weights), d_value
