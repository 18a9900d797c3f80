"""Which weights stand still while the rest of a model learns, and when they begin to learn after all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

from tunesmith.errors import ModelError, did_you_mean
from tunesmith.models.layers.depth import layers

if TYPE_CHECKING:
    from tunesmith.models.model import Model
    from tunesmith.spec.sections import Freeze


def freeze(model: Model, rule: Freeze | None) -> dict[str, int]:
    """Takes the weights that never learn out of training; of those that wait, says how long.

    Args:
        model: its adapter attached.
        rule: what stands still; None for nothing.

    Returns:
        With `unfreeze`, the weights that are to wait, by their name in `Model.trainable`: after how many
        releases each begins to learn, 1 for the top one of the frozen layers. Empty without it.

    Raises:
        ModelError: it names layers or weights that are not there, or leaves nothing to train.
    """
    if rule is None:
        return {}
    found = layers(model)
    below = found.count if rule.layers == "all" else rule.layers
    if below > found.count:
        raise ModelError(
            f"{below} layers are to stand still, and the model has {found.count}",
            where="train.freeze.layers",
            fix=f"write at most {found.count}, or `all`",
        )
    names = {id(parameter): name for name, parameter in model.inner.named_parameters()}
    inside = {name: names.get(id(parameter), "") for name, parameter in model.trainable().items()}
    _refuse_unknown(rule.names, list(inside.values()))
    waiting: dict[str, int] = {}
    for name, parameter in model.trainable().items():
        within = inside[name]
        lower = bool(within) and below > 0 and found.of(within) < below
        if any(_matches(within, part) for part in rule.names) or (lower and rule.unfreeze is None):
            parameter.requires_grad_(False)
        elif lower:
            waiting[name] = below - found.of(within)
    if waiting.keys() >= model.trainable().keys():
        raise ModelError(
            "nothing is left that trains",
            where="train.freeze",
            fix="freeze fewer layers, or choose `adapter: full`, which trains the norms above them too",
        )
    return waiting


def release(weights: Mapping[str, nn.Parameter], waiting: Mapping[str, int], released: int) -> None:
    """Lets those learn whose turn has come, and keeps the others still.

    Args:
        weights: what trains, by name.
        waiting: what `freeze` returned.
        released: how often one more layer was let go.
    """
    for name, turn in waiting.items():
        weights[name].requires_grad_(turn <= released)


def _matches(name: str, part: str) -> bool:
    return f".{part}." in f".{name}."


def _refuse_unknown(parts: list[str], names: list[str]) -> None:
    for part in parts:
        if not any(_matches(name, part) for name in names):
            pieces = {piece for name in names for piece in name.split(".")}
            known = sorted(piece for piece in pieces if piece and not piece.isdigit())
            raise ModelError(
                f"nothing that trains is called {part!r}{did_you_mean(part, known)}",
                where="train.freeze.names",
                fix=f"use a whole dotted name, or some of: {', '.join(known)}",
            )
