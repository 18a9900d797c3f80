"""Puts virtual tokens in front of rows where hidden states are computed, so that every head sees them.

PEFT puts them in its own wrapper's forward, which heads over hidden states, batched decoding and trees
of choices do not pass. Hooks on the trunk reach all of them, and give what PEFT's wrapper gives.

Tensors: B rows, T tokens read now, P virtual tokens, K tokens kept in the cache, H key heads, D widths.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.errors import ModelError
from tunesmith.models.model import Model


def inject_prompt(model: Model) -> None:
    """Puts the trained embeddings of the active adapter in front of what the trunk reads."""
    module: Any = model.module
    room = _take_room(model)
    embed = model.inner.get_input_embeddings()

    def before(trunk: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        asked = _by_name(trunk, args, kwargs)
        ids_BT, prompt_PD = asked["input_ids"], module.prompt_encoder[module.active_adapter].embedding.weight
        cache = asked.get("past_key_values")
        begins = cache is None or cache.get_seq_length() == 0
        _check_room(ids_BT, len(prompt_PD), room)
        if begins:
            prompt_BPD = prompt_PD.expand(len(ids_BT), -1, -1)
            asked["inputs_embeds"] = torch.cat([prompt_BPD, embed(ids_BT)], dim=1)
            asked["input_ids"] = None
        return (), _behind(asked, len(prompt_PD), begins=begins)

    # A head is put on after a saved adapter is opened, so it is looked for when rows are read.
    def keeps() -> bool:
        return model.family == "encoder_decoder" and model.head is None

    def after(_: nn.Module, __: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if kwargs.get("inputs_embeds") is not None and not keeps():
            length = len(module.prompt_encoder[module.active_adapter].embedding.weight)
            output.last_hidden_state = output.last_hidden_state[:, length:]

    def beside(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # The decoder sees the encoder's states of the virtual tokens too.
        mask_BT = kwargs.get("encoder_attention_mask")
        if mask_BT is None or not keeps():
            return args, kwargs
        length = len(module.prompt_encoder[module.active_adapter].embedding.weight)
        return args, kwargs | {"encoder_attention_mask": _widen(mask_BT, length)}

    model.trunk.register_forward_pre_hook(before, with_kwargs=True)
    model.trunk.register_forward_hook(after, with_kwargs=True)
    if model.family == "encoder_decoder":
        model.inner.get_decoder().register_forward_pre_hook(beside, with_kwargs=True)


def inject_prefix(model: Model) -> None:
    """Fills the key-value cache of each row with the active adapter's before the row's first token is read."""
    from transformers import DynamicCache, EncoderDecoderCache

    module: Any = model.module
    room = _take_room(model)
    two = model.family == "encoder_decoder"
    reads = model.inner.get_decoder() if two else model.trunk

    def before(trunk: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        asked = _by_name(trunk, args, kwargs)
        table = module.prompt_encoder[module.active_adapter].embedding.weight
        _check_room(asked["input_ids"], len(table), room)
        cache = asked.get("past_key_values")
        if cache is None:
            own = DynamicCache(config=None if two else model.inner.config)
            cache = asked["past_key_values"] = EncoderDecoderCache(own, DynamicCache()) if two else own
        if cache.get_seq_length() == 0:
            kept = cache.self_attention_cache if two else cache
            config = module.peft_config[module.active_adapter]
            for layer, (key_HPD, value_HPD) in enumerate(_layers(table, config)):
                rows = (len(asked["input_ids"]), -1, -1, -1)
                kept.update(key_HPD.expand(rows), value_HPD.expand(rows), layer)
        return (), _behind(asked, len(table), begins=False)

    reads.register_forward_pre_hook(before, with_kwargs=True)


def prefix_of(model: Model, ids_1P: Tensor, table: Tensor) -> None:
    """Writes the keys and values that the model itself computes for some tokens into a prefix table."""
    module: Any = model.module
    config = module.peft_config["default"]
    given = {"input_ids": ids_1P, "use_cache": True}
    if model.family == "encoder_decoder":
        cache = model.inner(**given, decoder_input_ids=ids_1P).past_key_values.self_attention_cache
    else:
        cache = model.trunk(**given).past_key_values
    slots = _slots(table, config)
    # From the last layer on, so that of layers that share a slot the first has its own.
    for layer in reversed(range(config.num_layers)):
        for slot, kept_1HPD in zip(_slot_numbers(layer, config), _kept(cache, layer), strict=True):
            slots[:, slot] = kept_1HPD[0].transpose(0, 1)


def _kept(cache: Any, layer: int) -> tuple[Tensor, Tensor]:
    return cache.layers[layer].keys, cache.layers[layer].values


def _slots(table: Tensor, config: Any) -> Tensor:
    """[P, slots, H, D] a view of PEFT's table, two slots a layer."""
    heads = config.num_attention_heads
    return table.view(len(table), 2 * config.num_layers, heads, config.token_dim // heads)


def _slot_numbers(layer: int, config: Any) -> tuple[int, int]:
    """Where PEFT keeps a layer's key and value. For a decoder with cross-attention it counts four a layer, two of
    them unread, over a table of two a layer: where the number of layers is even, the second half shares the first's."""
    if config.num_transformer_submodules == 1:
        return 2 * layer, 2 * layer + 1
    return 4 * layer % (2 * config.num_layers), (4 * layer + 1) % (2 * config.num_layers)


def _layers(table: Tensor, config: Any) -> list[tuple[Tensor, Tensor]]:
    """A key and a value [H, P, D] for each layer."""
    slots = _slots(table, config)
    numbers = [_slot_numbers(layer, config) for layer in range(config.num_layers)]
    return [(slots[:, key].transpose(0, 1), slots[:, value].transpose(0, 1)) for key, value in numbers]


def _by_name(trunk: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return dict(zip(inspect.signature(trunk.forward).parameters, args, strict=False)) | kwargs


def _behind(asked: dict[str, Any], length: int, *, begins: bool) -> dict[str, Any]:
    """Mask and positions of rows that stand behind `length` virtual tokens; `begins`: which are read with them."""
    if asked.get("attention_mask") is not None:
        asked["attention_mask"] = _widen(asked["attention_mask"], length)
    positions_BT = asked.get("position_ids")
    if positions_BT is not None:
        first_BP = torch.arange(length, device=positions_BT.device).expand(len(positions_BT), -1)
        shifted_BT = positions_BT + length
        asked["position_ids"] = torch.cat([first_BP, shifted_BT], dim=1) if begins else shifted_BT
    return asked


def _widen(mask: Tensor, length: int) -> Tensor:
    """A mask over tokens [B, K], or over pairs of them [B, 1, T, K], with `length` visible ones in front."""
    seen = 0.0 if mask.dim() == 4 and mask.is_floating_point() else 1
    return torch.cat([mask.new_full((*mask.shape[:-1], length), seen), mask], dim=-1)


def _take_room(model: Model) -> int:
    """Takes the virtual tokens' places from the context; returns the context with them."""
    module: Any = model.module
    room = model.context
    model.context -= module.peft_config["default"].num_virtual_tokens
    return room


def _check_room(ids_BT: Tensor, length: int, room: int) -> None:
    if ids_BT.shape[1] + length > room:
        raise ModelError(
            f"a row of {ids_BT.shape[1]} tokens and {length} virtual ones are more than the {room} the model reads",
            where="train.adapter.length",
            fix=f"write data.max_length: {room - length} tokens, or fewer virtual tokens",
        )
