"""What goes on inside of a model: its inputs put otherwise, its attention and hidden states read, its weights mixed up.

Nothing knows an architecture: inputs are replaced where the embedding layer gives them out.

Tensors: B rows, T tokens, D hidden width, H heads, L layers, N rows of all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tunesmith.models.heads import pool
from tunesmith.models.inference.batching import by_length, nobody, pad_right
from tunesmith.models.model import Model

_WORDS_AT_ONCE = 4096
"""Embeddings held at once while their mean is taken."""


def embedding_layer(model: Model) -> nn.Module:
    """What turns token ids into what the first layer reads; the encoder's of encoder-decoders."""
    layer: nn.Module = model.trunk.get_input_embeddings()
    return layer


@torch.no_grad()
def mean_embedding(model: Model) -> Tensor:
    """[D]: the mean embedding of all tokens of the vocabulary."""
    layer: Any = embedding_layer(model)
    ids_V = torch.arange(layer.weight.shape[0], device=layer.weight.device)
    parts = [ids_V[start : start + _WORDS_AT_ONCE] for start in range(0, len(ids_V), _WORDS_AT_ONCE)]
    sums = [layer(part[None])[0].double().sum(dim=0) for part in parts]
    mean_D: Tensor = (torch.stack(sums).sum(dim=0) / len(ids_V)).to(layer.weight.dtype)
    return mean_D


@contextmanager
def replaced_embeddings(model: Model, embedded_BTD: Tensor) -> Iterator[None]:
    """Lets the next forward pass read these embeddings in place of those of its token ids.

    Only what is read first is replaced: an encoder-decoder's decoder may share the layer, and reads its own.
    """
    waiting = [embedded_BTD]

    def replace(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        return waiting.pop() if waiting else None

    handle = embedding_layer(model).register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def attentions(model: Model, ids: Sequence[int]) -> NDArray[np.float32] | None:
    """[L, H, T, T]: how much each token (third axis) looks at each token (last axis), in every layer and head.

    None where the architecture does not tell.
    """
    inner, before = model.inner, getattr(model.inner.config, "_attn_implementation", None)
    model.train(False)
    ids_BT, mask_BT = pad_right([ids], model.pad_id, model.device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            inner.set_attn_implementation("eager")
            told = model.trunk(input_ids=ids_BT, attention_mask=mask_BT, output_attentions=True).attentions
    except (AttributeError, TypeError, ValueError, NotImplementedError):
        return None  # an architecture without such attention
    finally:
        if before is not None:
            inner.set_attn_implementation(before)
    if not told or any(layer is None or layer.shape[-2:] != (len(ids), len(ids)) for layer in told):
        return None
    return torch.stack([layer[0].float().cpu() for layer in told]).numpy()


@torch.inference_mode()
def states(
    model: Model,
    rows: Sequence[Sequence[int]],
    layers: Sequence[int],
    *,
    batch: int,
    after: Callable[[int], None] = nobody,
) -> NDArray[np.float32]:
    """[L, N, D]: one vector a row of each of some layers; 0 is what the first layer reads.

    Rows are summed up as the model's own head does it; without a head by the last token of a causal model, which is
    where it decides what to say, and by the mean of other models.

    Args:
        model: any.
        rows: token ids; not empty.
        layers: counted from 1.
        batch: rows computed at once.
        after: called with the number of rows done so far.
    """
    pooling = model.head.pooling if model.head is not None else "last" if model.family == "causal" else "mean"
    model.train(False)
    width = int(model.inner.config.get_text_config().hidden_size)
    found_LND = np.zeros((len(layers), len(rows), width), np.float32)
    done = 0
    for some in by_length([len(row) for row in rows], batch):
        ids_BT, mask_BT = pad_right([rows[row] for row in some], model.pad_id, model.device)
        every = model.hidden_states(ids_BT, mask_BT)
        real_BT = mask_BT.bool()
        for place, layer in enumerate(layers):
            pooled_BD = pool(every[layer][real_BT], real_BT.sum(dim=1).tolist(), pooling)
            found_LND[place, some] = pooled_BD.float().cpu().numpy()
        done += len(some)
        after(done)
    return found_LND


def num_layers(model: Model) -> int:
    """How many layers there are; of encoder-decoders those of the encoder."""
    return int(model.inner.config.get_text_config().num_hidden_layers)


@contextmanager
def shuffled_weights(model: Model, seed: int) -> Iterator[None]:
    """The model with the numbers of every weight matrix mixed up among themselves, and afterwards as it was.

    It has the scale of a trained model and knows nothing (Adebayo et al. 2018 draw fresh weights to the same end).
    Numbers of one value each, such as fresh norms, stay what they are.
    """
    parts = [part for part in (model.module, model.head) if part is not None]
    # Weights that are tied are one parameter, and mixed up once.
    weights = {id(each): each for part in parts for each in part.parameters() if each.is_floating_point()}
    kept = [(weight, weight.detach().clone()) for weight in weights.values()]
    random = torch.Generator().manual_seed(seed)
    try:
        with torch.no_grad():
            for weight, _ in kept:
                order = torch.randperm(weight.numel(), generator=random).to(weight.device)
                weight.copy_(weight.flatten()[order].view_as(weight))
        yield
    finally:
        with torch.no_grad():
            for weight, before in kept:
                weight.copy_(before)
