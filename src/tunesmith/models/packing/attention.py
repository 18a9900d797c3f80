"""Attention over rows that lie one after another, for every architecture of transformers that lets it in.

Registered with transformers under the name ATTENTION. A call that brings a `layout` (tunesmith.models.packing.layout)
is computed row by row, in buckets of equal lengths, or against a cache (tunesmith.models.packing.kv_cache); any
other call is transformers' own SDPA attention.

On a CPU the backward pass of flash attention is slow for short rows: there the scores are computed
again by matrix products (measured in docs/log.md), in the precision of the inputs with softmax in fp32.

Tensors: N tokens of all rows, B rows of a bucket, T tokens of its longest row, H query heads, G key and
value heads, R query heads of a key head (H = G R), K head width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tunesmith.models.packing.kv_cache import Growth
from tunesmith.models.packing.layout import Bucket, Layout

ATTENTION = "tunesmith"
"""The name that `set_attn_implementation` knows it by."""

SHORT = 256
"""Rows up to this long are computed again in the backward pass; longer ones by the flash kernel."""

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
    rows_NHK, rows_NGK, rows_NGV = (states[0].transpose(0, 1) for states in (query, key, value))
    if isinstance(layout, Growth):
        if not causal:
            raise NotImplementedError("attention that looks ahead, with a cache")
        layout.cache.write(module, layout, rows_NGK, rows_NGV)
        if layout.behind[0]:
            return layout.attend(module, rows_NHK, scale, window).unsqueeze(0), None
    compute = _with_kernels if query.device.type != "cpu" or window is not None else _on_cpu
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
    dropout: float, window: None,
) -> Tensor:  # fmt: skip
    said_NHK: Tensor = _Rows.apply(query_NHK, key_NGK, value_NGK, layout, causal, scale, dropout)  # type: ignore[no-untyped-call]
    return said_NHK


class _Rows(torch.autograd.Function):
    """softmax(scale Q K') V within each row."""

    @staticmethod
    def forward(ctx: Any, query_NHK: Tensor, key_NGK: Tensor, value_NGK: Tensor, layout: Layout, causal: bool,
                scale: float, dropout: float) -> Tensor:  # fmt: skip
        said_NHK = torch.empty(query_NHK.shape, dtype=query_NHK.dtype)
        kept: list[Tensor | None] = []
        for bucket in layout.buckets:
            query, key, value = (bucket.take(states).transpose(1, 2) for states in (query_NHK, key_NGK, value_NGK))
            bias = _bias(bucket, causal, query.dtype)
            if dropout:
                weights = _weights(query, key, bucket, causal, scale)
                shown = torch.empty_like(weights, dtype=torch.bool).bernoulli_(1 - dropout)
                said_BHTK = _times(weights.mul_(shown).div_(1 - dropout).to(value.dtype), value)
                kept.append(shown)
            else:
                said_BHTK, total = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                    query, key, value, 0.0, causal, attn_mask=bias, scale=scale
                )
                kept.append(total)
            bucket.put(said_NHK, said_BHTK.transpose(1, 2))
        ctx.save_for_backward(query_NHK, key_NGK, value_NGK, said_NHK, *kept)
        ctx.settings = layout, causal, scale, dropout
        return said_NHK

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query_NHK, key_NGK, value_NGK, said_NHK, *kept = ctx.saved_tensors
        layout, causal, scale, dropout = ctx.settings
        d_query_NHK, d_key_NGK, d_value_NGK = (
            torch.empty(states.shape, dtype=states.dtype) for states in (query_NHK, key_NGK, value_NGK)
        )
        for bucket, left in zip(layout.buckets, kept, strict=True):
            query, key, value, said, d_said = (
                bucket.take(states).transpose(1, 2) for states in (query_NHK, key_NGK, value_NGK, said_NHK, grads[0])
            )
            if bucket.real_BT is not None:
                d_said = d_said * bucket.real_BT[:, None, :, None]
            if dropout or bucket.width <= SHORT:
                weights = _weights(query, key, bucket, causal, scale)
                d_states = _backward(
                    query, key, value, said, d_said, weights, left if dropout else None, scale, dropout
                )
            else:
                d_states = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                    d_said, query, key, value, said, left, 0.0, causal,
                    attn_mask=_bias(bucket, causal, query.dtype), scale=scale,
                )  # fmt: skip
            for whole, part in zip((d_query_NHK, d_key_NGK, d_value_NGK), d_states, strict=True):
                bucket.put(whole, part.transpose(1, 2))
        return d_query_NHK, d_key_NGK, d_value_NGK, None, None, None, None


def _bias(bucket: Bucket, causal: bool, dtype: torch.dtype) -> Tensor | None:
    """What is added to the scores so that no token sees a padded place, [B, 1, 1, T]."""
    if causal or bucket.real_BT is None:
        return None
    hidden_BT = torch.zeros(bucket.real_BT.shape, dtype=dtype).masked_fill_(~bucket.real_BT, -math.inf)
    return hidden_BT[:, None, None, :]


def _weights(query: Tensor, key: Tensor, bucket: Bucket, causal: bool, scale: float) -> Tensor:
    """The attention weights [B, H, T, T] of a bucket, in fp32."""
    B, H, T, K = query.shape
    folded = (query * scale).reshape(-1, H // key.shape[1] * T, K)
    scores = torch.bmm(folded, key.reshape(-1, T, K).transpose(1, 2)).view(B, H, T, T).float()
    if causal:
        scores += torch.full((T, T), -math.inf).triu_(1)
    elif bucket.real_BT is not None:
        scores.masked_fill_(~bucket.real_BT[:, None, None, :], -math.inf)
    return scores.softmax(dim=-1)


def _times(weights_BHTT: Tensor, value_BGTK: Tensor) -> Tensor:
    """Weights times values, [B, H, T, K]."""
    B, H, T, _ = weights_BHTT.shape
    folded = weights_BHTT.reshape(-1, H // value_BGTK.shape[1] * T, T)
    return torch.bmm(folded, value_BGTK.reshape(-1, T, value_BGTK.shape[-1])).view(B, H, T, -1)


def _backward(
    query: Tensor, key: Tensor, value: Tensor, said: Tensor, d_said: Tensor, weights: Tensor, shown: Tensor | None,
    scale: float, dropout: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of queries, keys and values of a bucket, by matrix products."""
    B, H, T, K = query.shape
    G, dtype = key.shape[1], query.dtype
    used = weights if shown is None else (weights * shown).div_(1 - dropout)
    rows = (B * G, H // G * T)
    flat_d_said, flat_value = d_said.reshape(*rows, -1), value.reshape(B * G, T, -1)
    d_value = torch.bmm(used.to(dtype).reshape(*rows, T).transpose(1, 2), flat_d_said)
    d_scores = torch.bmm(flat_d_said, flat_value.transpose(1, 2)).view(B, H, T, T).float()
    if shown is not None:
        d_scores = d_scores.mul_(shown).div_(1 - dropout)
    # The sum over a row of d_weights * weights is that of d_said * said.
    d_scores -= (d_said.float() * said.float()).sum(dim=-1, keepdim=True)
    d_scores = d_scores.mul_(weights).mul_(scale).to(dtype).view(*rows, T)
    d_query = torch.bmm(d_scores, key.reshape(B * G, T, K)).view(B, H, T, K)
    d_key = torch.bmm(d_scores.transpose(1, 2), query.reshape(*rows, K))
    return d_query, d_key.view(B, G, T, K), d_value.view(B, G, T, -1)
