"""Mixed precision: what of a model computes in half precision, and what stays fp32 (arXiv 1710.03740).

Weights that multiply matrices are held rounded, and autocast rounds what they are multiplied with. The sum that runs
through all layers, norms, biases and embeddings that train stay fp32: rounding them would cost accuracy and save
next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn


class Halved:
    """Holds weights in half precision until they are given back.

    Args:
        modules: their matrices are rounded in place.
        dtype: bfloat16, or float32 to leave everything as it is.
        keep: those whose values before rounding are wanted again, by `whole`.
    """

    def __init__(
        self, modules: Iterable[nn.Module], dtype: torch.dtype, keep: Callable[[nn.Parameter], bool] = lambda _: False
    ) -> None:
        self.dtype = dtype
        self.weights: list[nn.Parameter] = []
        self._hooks: list[Any] = []
        for module in modules if dtype != torch.float32 else ():
            self.weights += list(matrices(module))
            self._hooks += [table.register_forward_hook(_in_full) for table in _still_tables(module)]
        self.whole = {weight: weight.detach().clone() for weight in self.weights if keep(weight)}
        for weight in self.weights:
            weight.data = weight.data.to(dtype)

    def computing(self, device: torch.device) -> AbstractContextManager[Any]:
        """Where the model computes: products in half precision."""
        return torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32, cache_enabled=False)

    def give_back(self) -> None:
        """Makes the weights fp32 again, those kept as they were; the others stay rounded."""
        for weight in self.weights:
            weight.data = self.whole[weight] if weight in self.whole else weight.data.float()
        for hook in self._hooks:
            hook.remove()


def matrices(module: nn.Module) -> Iterator[nn.Parameter]:
    """The weights that mixed precision holds rounded: all matrices, but embeddings only where they stand still."""
    trained = {id(part.weight) for part in _tables(module) if part.weight.requires_grad}
    for weight in module.parameters():
        if weight.is_floating_point() and weight.dim() > 1 and 1 not in weight.shape and id(weight) not in trained:
            yield weight


def rounded(tensor: Tensor) -> Tensor:
    """What an operation that autocast does not know should compute with."""
    device = tensor.device.type
    return tensor.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else tensor


def _tables(module: nn.Module) -> Iterator[nn.Embedding]:
    return (part for part in module.modules() if isinstance(part, nn.Embedding))


def _still_tables(module: nn.Module) -> list[nn.Embedding]:
    return [part for part in _tables(module) if not part.weight.requires_grad]


def _in_full(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    """Embeddings are where the sum through all layers begins."""
    return output.float()
