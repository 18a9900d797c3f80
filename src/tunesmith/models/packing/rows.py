"""Running a model over rows that lie one after another, without padding; padded where it cannot.

Whether an architecture can is measured, not listed: a few short rows must come out as they do padded.

Tensors: N tokens of all rows, B rows, T tokens of the longest, D hidden width, V vocabulary, C classes.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from tunesmith.models.model import Model
from tunesmith.models.packing.layout import Layout

PROBE = (5, 2, 9)
"""Tokens of the rows that decide."""

_OFFSETS: WeakKeyDictionary[nn.Module, int | None] = WeakKeyDictionary()
"""What the positions of a model begin with; None for a model whose rows are padded."""


def hidden_of_rows(model: Model, ids_N: Tensor, layout: Layout) -> Tensor:
    """The last hidden states [N, D] of every token; of encoder-decoders the encoder's."""
    if packs(model):
        hidden_ND: Tensor = run_rows(model, model.trunk, ids_N, layout).last_hidden_state[0]
        return hidden_ND
    return _padded_hidden(model, ids_N, layout)


def head_of_rows(model: Model, ids_N: Tensor, layout: Layout) -> Tensor:
    """What our head says: [B, C] of classify, [N, C] of tag."""
    assert model.head is not None, "a head of ours is needed"
    scores: Tensor = model.head(hidden_of_rows(model, ids_N, layout), layout.lengths)
    return scores


def logits_of_rows(model: Model, ids_N: Tensor, layout: Layout) -> Tensor:
    """A causal model's own next-token logits [N, V]."""
    if packs(model):
        logits_NV: Tensor = run_rows(model, model.module, ids_N, layout).logits[0]
        return logits_NV
    ids_BT, mask_BT = _padded(model, ids_N, layout)
    return model.logits(ids_BT, mask_BT)[mask_BT]


def packs(model: Model) -> bool:
    """Whether rows are computed without padding. Measured once a model; says so in its notes where not."""
    if model.inner not in _OFFSETS:
        _OFFSETS[model.inner] = _measured_offset(model)
        if _OFFSETS[model.inner] is None:
            kind = model.inner.config.model_type
            model.notes.append(f"rows are padded: {kind} models do not take rows that lie one after another")
    return _OFFSETS[model.inner] is not None


def run_rows(
    model: Model, module: nn.Module, ids_N: Tensor, layout: Layout, offset: int | None = None, **settings: Any
) -> Any:
    """What a module of the model says about rows; `packs` must hold. `settings` are arguments of its forward."""
    begin = (_OFFSETS[model.inner] or 0) if offset is None else offset
    return module(
        input_ids=ids_N[None],
        position_ids=(layout.positions_N + begin)[None],
        # A mask of four dimensions is handed to attention as it is, so that none is made; nobody reads it.
        attention_mask=torch.zeros(1, 1, 1, 1, device=ids_N.device),
        layout=layout,
        **({"use_cache": False} if model.family == "causal" else {}),
        **settings,
    )


def _padded(model: Model, ids_N: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    whole = layout.whole
    ids_BT = whole.take(ids_N)
    if whole.real_BT is None:
        return ids_BT, torch.ones_like(ids_BT, dtype=torch.bool)
    return ids_BT.masked_fill(~whole.real_BT, model.pad_id), whole.real_BT


def _padded_hidden(model: Model, ids_N: Tensor, layout: Layout) -> Tensor:
    ids_BT, mask_BT = _padded(model, ids_N, layout)
    return model.hidden(ids_BT, mask_BT)[mask_BT]


# Measuring --------------------------------------------------------------------------------------


def probe(model: Model) -> tuple[Tensor, Layout]:
    """A few short rows on which properties of a model are measured: [N] tokens, none of them padding."""
    layout = Layout(PROBE, model.device)
    ids_N = torch.arange(layout.num_tokens, device=model.device) % model.inner.config.get_text_config().vocab_size
    return torch.where(ids_N == model.pad_id, ids_N + 1, ids_N), layout


@torch.no_grad()
def _measured_offset(model: Model) -> int | None:
    """The first offset of positions with which rows come out as they do padded."""
    from tunesmith.models.packing.attention import ATTENTION, register

    inner = model.inner
    if model.family == "encoder_decoder" or getattr(inner.config, "_attn_implementation", None) != "sdpa":
        return None
    register()
    was_training = model.module.training
    model.module.eval()
    ids_N, layout = probe(model)
    expected_ND = _padded_hidden(model, ids_N, layout).float()
    inner.set_attn_implementation(ATTENTION)
    found = next(
        (offset for offset in (0, model.pad_id + 1) if _agrees(model, ids_N, layout, offset, expected_ND)), None
    )
    if found is None:
        inner.set_attn_implementation("sdpa")
    model.module.train(was_training)
    return found


def _agrees(model: Model, ids_N: Tensor, layout: Layout, offset: int, expected_ND: Tensor) -> bool:
    try:
        found_ND = run_rows(model, model.trunk, ids_N, layout, offset).last_hidden_state[0].float()
    except Exception:  # whatever an architecture has against it, padding remains
        return False
    if found_ND.shape != expected_ND.shape:
        return False
    tolerance = 1e-4 if next(model.module.parameters()).dtype == torch.float32 else 2e-2
    return float((found_ND - expected_ND).abs().max()) <= tolerance * float(expected_ND.abs().max())
