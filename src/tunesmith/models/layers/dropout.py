"""Where a model drops activations at random in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

OF_ADAPTERS = "lora_"
"""What the names of an adapter's own layers carry."""
UNUSED = ("classifier", "layerdrop", "summary")
"""Heads of transformers, which are not used, and layerdrop, which leaves out whole layers."""


class Place(NamedTuple):
    """One probability of dropout."""

    path: str
    """The dotted name of the module that holds it."""
    holder: Any
    name: str
    """The attribute of `holder`."""

    @property
    def share(self) -> float:
        """The probability as it is now."""
        return float(getattr(self.holder, self.name))


def dropouts(inner: nn.Module) -> Iterator[Place]:
    """Every probability of dropout of a model's modules, an adapter's too; what is unused is left out."""
    for path, module in inner.named_modules():
        if any(part in path for part in UNUSED):
            continue
        if isinstance(module, nn.Dropout):
            yield Place(path, module, "p")
        yield from (Place(path, module, name) for name, value in vars(module).items() if is_share(name, value))


def is_share(name: str, value: Any) -> bool:
    """Whether an attribute is a probability of dropout, by its name."""
    named = "drop" in name and OF_ADAPTERS not in name and not any(part in name for part in UNUSED)
    return named and isinstance(value, (int, float)) and not isinstance(value, bool)
