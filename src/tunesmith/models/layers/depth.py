"""How deep each weight lies in its model, counted from the top: what layer-wise rates and freezing go by.

The layers of a model are the entries of its longest list of modules; of an encoder-decoder those of the
encoder lie below those of the decoder, since its answer passes through them in this order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from tunesmith.models.model import Model


@dataclass(frozen=True)
class Layers:
    """The layers of a model.

    Args:
        stacks: the dotted name of each list of layers, the lowest first, and how many it holds.
        output: names of the parameters of an output layer that is not tied to the embeddings.
    """

    stacks: tuple[tuple[str, int], ...]
    output: frozenset[str]

    @property
    def count(self) -> int:
        """All layers."""
        return sum(size for _, size in self.stacks)

    def of(self, name: str) -> int:
        """Where a parameter of the inner model lies: -1 embeddings, from 0 on the layers from below, `count` above."""
        below = 0
        for stack, size in self.stacks:
            if name.startswith(f"{stack}."):
                return below + int(name[len(stack) + 1 :].partition(".")[0])
            below += size
        if name in self.output:
            return self.count
        if "embed" in name or any(part in _POSITIONS for part in name.split(".")):
            return -1
        # A norm that closes a stack belongs to its top layer: it learns when that does.
        below = 0
        for stack, size in self.stacks[:-1]:
            below += size
            if name.startswith(f"{stack.rpartition('.')[0]}."):
                return below - 1
        return self.count


_POSITIONS = ("wte", "wpe", "shared")
"""Embeddings that do not carry the word in their name: GPT-2's, and T5's and BART's common table."""


def layers(model: Model) -> Layers:
    """Finds the layers of a model's trunk, or of both halves of an encoder-decoder that writes."""
    inner = model.inner
    both = model.family == "encoder_decoder" and model.head is None
    halves = [inner.get_encoder(), inner.get_decoder()] if both else [model.trunk]
    names = {id(module): name for name, module in inner.named_modules()}
    output = inner.get_output_embeddings()
    tied = {id(parameter) for parameter in inner.get_input_embeddings().parameters()}
    above = {id(parameter) for parameter in output.parameters()} - tied if output is not None else set()
    return Layers(
        stacks=tuple(stack for half in halves if (stack := _longest(half, names)) is not None),
        output=frozenset(name for name, parameter in inner.named_parameters() if id(parameter) in above),
    )


def _longest(half: nn.Module, names: dict[int, str]) -> tuple[str, int] | None:
    lists = [module for module in half.modules() if isinstance(module, nn.ModuleList)]
    inside = {id(child) for outer in lists for child in outer.modules() if child is not outer}
    outermost = [module for module in lists if id(module) not in inside]
    longest = max(outermost, key=len, default=None)
    return (names[id(longest)], len(longest)) if longest is not None else None


def depths(model: Model) -> dict[str, int]:
    """How many layers lie above each trained weight's own, by its name in `Model.trainable`.

    0 for the top layer and what stands on it (norm, output layer, a head of ours), as many as there are
    layers for the embeddings.
    """
    found = layers(model)
    top = max(found.count - 1, 0)
    names = {id(parameter): name for name, parameter in model.inner.named_parameters()}
    return {
        name: max(top - found.of(names[id(parameter)]), 0) if id(parameter) in names else 0
        for name, parameter in model.trainable().items()
    }


def num_frozen(model: Model) -> int:
    """How many layers, from the lowest on, lie below everything that trains; of an encoder-decoder, the encoder's.

    Weights that wait to be unfrozen train. What lies outside of the model, such as virtual tokens, lies below it.
    """
    found = layers(model)
    names = {id(parameter): name for name, parameter in model.inner.named_parameters()}
    places = [
        found.of(names[id(parameter)]) if id(parameter) in names else found.count if name.startswith("head.") else -1
        for name, parameter in model.trainable().items()
    ]
    lowest_stack = found.stacks[0][1] if found.stacks else 0
    return max(0, min([*places, lowest_stack]))
