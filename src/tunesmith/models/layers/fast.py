"""The ways in which a training computes a model's layers faster than they are written; outputs and gradients stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from tunesmith.models.layers.lean_layers import lean_layers, leaner
from tunesmith.models.layers.linear_groups import grouped, linear_groups
from tunesmith.models.layers.lora_groups import lora_groups

if TYPE_CHECKING:
    from tunesmith.models.model import Model


def faster(model: Model, *, cut: bool = False) -> AbstractContextManager[None]:
    """A scope in which layers that can be are computed faster. Called where the model can compute, entered later.

    Args:
        model: its adapter attached, its weights in the precision of the training.
        cut: its layers are cut into shards, and each is left as it is.
    """
    if cut:
        return nullcontext()
    groups, layers = [*linear_groups(model), *lora_groups(model)], lean_layers(model)

    @contextmanager
    def scope() -> Iterator[None]:
        with grouped(groups), leaner(layers):
            yield

    return scope()
