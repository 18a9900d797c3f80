"""Noise against learning by heart: on the embeddings (NEFTune), and the base's own dropout at another rate.

Shapes: N tokens of all rows, B rows, T tokens of the longest row, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tunesmith.errors import ModelError
from tunesmith.models.layers.dropout import OF_ADAPTERS, dropouts, is_share

if TYPE_CHECKING:
    from tunesmith.models.load import Model


@contextmanager
def noise(model: Model, alpha: float | None, lengths_B: Tensor) -> Iterator[None]:
    """Adds noise to what the model reads while it trains (NEFTune, arXiv 2310.05914).

    Uniform between -alpha / sqrt(T * D) and alpha / sqrt(T * D), where T is each row's own length: neither its
    neighbours nor padding change how much noise a row gets.

    Args:
        model: in training mode; in evaluation mode nothing is added.
        alpha: how much; None for none.
        lengths_B: tokens of each row of the batch, whether they lie one after another or are padded.
    """
    if alpha is None:
        yield
        return
    calls = 0

    def disturb(module: nn.Module, inputs: Any, embedded: Tensor) -> Tensor | None:
        nonlocal calls
        calls += module.training
        # A decoder that shares the table says, and does not read.
        return embedded + _drawn(embedded, alpha, lengths_B) if module.training and calls == 1 else None

    hook = model.trunk.get_input_embeddings().register_forward_hook(disturb)
    try:
        yield
    finally:
        hook.remove()


def _drawn(embedded: Tensor, alpha: float, lengths_B: Tensor) -> Tensor:
    lengths_B = lengths_B.to(embedded.device)
    rows, width = embedded.shape[0], embedded.shape[-1]
    largest_B = alpha / (lengths_B.clamp_min(1) * width).sqrt()
    padded = rows == len(lengths_B)
    largest = largest_B[:, None] if padded else largest_B.repeat_interleave(lengths_B)[None]
    noise = torch.empty_like(embedded).uniform_(-1, 1)
    return noise * largest[..., None].to(embedded.dtype)


@contextmanager
def dropout(model: Model, share: float | None) -> Iterator[None]:
    """Lets the base drop this share of its activations, wherever its architecture drops any.

    Args:
        model: its config is as before afterwards, so that it is saved unchanged.
        share: of activations; None for what the config says.

    Raises:
        ModelError: the architecture has no dropout.
    """
    if share is None:
        yield
        return
    places = _places(model.inner)
    if not places:
        raise ModelError(
            f"models of type {model.inner.config.model_type!r} have no dropout",
            where="train.regularize.dropout",
            fix="leave it out; `adapter: {kind: lora, dropout: 0.1}`, weight decay or neftune regularise too",
        )
    before = [getattr(holder, name) for holder, name in places]
    try:
        for holder, name in places:
            setattr(holder, name, share)
        yield
    finally:
        for (holder, name), value in zip(places, before, strict=True):
            setattr(holder, name, value)


def _places(inner: nn.Module) -> list[tuple[Any, str]]:
    """(object, attribute) of every probability of dropout: modules, their plain numbers, and the config's."""
    # An adapter's dropout is its own setting.
    found = [(place.holder, place.name) for place in dropouts(inner) if OF_ADAPTERS not in place.path]
    if found:
        config: Any = inner.config
        found += [(config, name) for name, value in vars(config).items() if is_share(name, value)]
    return found
