"""The last layer, computed for no more tokens than are read of it.

A loss reads the last hidden states where it has targets. Of the other tokens the last layer needs keys and values
alone: what follows its attention is computed for those that are read. Whether a layer lets that be is measured, not
listed.

Tensors: N tokens of all rows, M of them that are read, D hidden width.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from tunesmith.models.layers.depth import layers
from tunesmith.models.layers.dropout import dropouts
from tunesmith.models.layers.native.replaced import Replaced, placed
from tunesmith.models.model import Model
from tunesmith.models.packing.layout import Layout
from tunesmith.models.packing.rows import hidden_of_rows, packs, probe

PARTS = {"input_layernorm", "self_attn", "post_attention_layernorm", "mlp"}
"""What a layer is made of: each half reads the sum of all before it through a norm, and is added to it."""
MOST = 0.9
"""Share of the tokens beyond which it is not worth it to pick them out."""

_LAST: WeakKeyDictionary[nn.Module, tuple[list[type], nn.Module | None]] = WeakKeyDictionary()
"""By model: what its modules are, and its last layer, or None where it needs all tokens."""


def hidden_at(model: Model, ids_N: Tensor, layout: Layout, positions_M: Tensor) -> Tensor:
    """The last hidden states [M, D] of some of the tokens, in order."""
    if len(positions_M) == len(ids_N):
        return hidden_of_rows(model, ids_N, layout)
    layer = _free_last(model) if 0 < len(positions_M) <= MOST * len(ids_N) else None
    if layer is None:
        return hidden_of_rows(model, ids_N, layout).index_select(0, positions_M)
    with placed([Replaced(layer, _Trimmed(layer, positions_M))]):
        return hidden_of_rows(model, ids_N, layout)


class _Trimmed:
    """What the last layer does instead of its own forward pass: [1, N, D] becomes [1, M, D]."""

    def __init__(self, layer: nn.Module, positions_M: Tensor) -> None:
        self.layer: Any = layer
        self.positions_M = positions_M

    def __call__(self, hidden_states: Tensor, **settings: Any) -> Tensor:
        if getattr(self.layer, "gradient_checkpointing", False) and self.layer.training:
            again: Tensor = self.layer._gradient_checkpointing_func(self._compute, hidden_states, **settings)
            return again
        return self._compute(hidden_states, **settings)

    def _compute(self, hidden_states: Tensor, **settings: Any) -> Tensor:
        layer, attention = self.layer, self.layer.self_attn
        hook = attention.o_proj.register_forward_pre_hook(lambda _, states: self._read(states[0]))
        try:
            attended, _ = attention(hidden_states=layer.input_layernorm(hidden_states), **settings)
        finally:
            hook.remove()
        states_1MD = self._read(hidden_states) + attended
        said: Tensor = states_1MD + layer.mlp(layer.post_attention_layernorm(states_1MD))
        return said

    def _read(self, states_1ND: Tensor) -> Tensor:
        return states_1ND.index_select(1, self.positions_M)


# Whether it can be --------------------------------------------------------------------------------


def _free_last(model: Model) -> nn.Module | None:
    """The last layer, if it can be trimmed now."""
    if not packs(model):
        return None
    kinds = [type(module) for module in model.inner.modules()]
    if model.inner not in _LAST or _LAST[model.inner][0] != kinds:  # an adapter has been put in since
        _LAST[model.inner] = kinds, _measured(model)
    layer = _LAST[model.inner][1]
    return layer if layer is not None and _is_alone(layer) else None


def _is_alone(layer: nn.Module) -> bool:
    """Whether nothing else stands in for it or listens to it."""
    return "forward" not in vars(layer) and not layer._forward_hooks


def _measured(model: Model) -> nn.Module | None:
    """The last layer, if it says of some tokens what it says of all; nothing in it may be dropped but in its parts."""
    stack = next(iter(layers(model).stacks), None)
    if stack is None or model.family != "causal":
        return None
    name = f"{stack[0]}.{stack[1] - 1}"
    layer = model.inner.get_submodule(name)
    parts = {child for child, _ in layer.named_children()}
    if parts != PARTS or not isinstance(getattr(layer.self_attn, "o_proj", None), nn.Module):
        return None
    drops = any(place.path == name for place in dropouts(model.inner))
    return layer if not drops and _says_the_same(model, layer) else None


@torch.no_grad()
def _says_the_same(model: Model, layer: nn.Module) -> bool:
    ids_N, layout = probe(model)
    positions_M = torch.arange(1, layout.num_tokens, 3, device=model.device)
    was_training = model.module.training
    model.module.eval()
    try:
        expected_MD = hidden_of_rows(model, ids_N, layout)[positions_M].float()
        with placed([Replaced(layer, _Trimmed(layer, positions_M))]):
            found_MD = hidden_of_rows(model, ids_N, layout).float()
    except Exception:  # whatever an architecture has against it, all tokens are computed
        return False
    finally:
        model.module.train(was_training)
    if found_MD.shape != expected_MD.shape:
        return False
    tolerance = 1e-5 if next(model.module.parameters()).dtype == torch.float32 else 2e-2
    return float((found_MD - expected_MD).abs().max()) <= tolerance * float(expected_MD.abs().max())
