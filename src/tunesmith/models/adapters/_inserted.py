"""The layers that bottleneck adapters insert.

Tensors: B rows, T tokens, D width of an output, N narrow width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": nn.functional.gelu,
    "relu": nn.functional.relu,
    "tanh": torch.tanh,
}


class Narrow(nn.Module):
    """y + up(act(down(y))). `up` starts from zero, so that a fresh one changes nothing."""

    def __init__(self, width: int, size: int, activation: str) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        self.activation = _ACTIVATIONS[activation]
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, output_BTD: Tensor) -> Tensor:
        """The output changed by what was learned."""
        changed_BTD: Tensor = output_BTD + self.up(self.activation(self.down(output_BTD)))
        return changed_BTD


class Followed(nn.Module):
    """A linear layer with a narrow one behind it; stands in the linear layer's place."""

    def __init__(self, layer: nn.Module, narrow: Narrow) -> None:
        super().__init__()
        self.layer, self.bottleneck = layer, narrow

    @property
    def weight(self) -> Tensor:
        """The linear layer's; T5 looks at its precision."""
        weight = self.layer.weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(self, input_BTD: Tensor) -> Tensor:
        """Output of both layers."""
        output: Tensor = self.bottleneck(self.layer(input_BTD))
        return output


def insert(model: nn.Module, name: str, size: int, activation: str) -> None:
    """Puts a fresh narrow layer behind the linear layer `name`.

    Raises:
        AttributeError: the model has no such layer.
    """
    parent, _, last = name.rpartition(".")
    holder, layer = model.get_submodule(parent), model.get_submodule(name)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    width = layer.out_features if isinstance(layer, nn.Linear) else weight.shape[1]
    narrow = Narrow(width, size, activation).to(device=weight.device, dtype=weight.dtype)
    setattr(holder, last, Followed(layer, narrow))
