"""What one pass makes again is not kept for the way back.

The outputs of norms and gates are read by products, which keep what they read until the backward pass. Made again
there, they need no memory in between; what they are made of is kept anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef


class _Output(NamedTuple):
    """An output that can be made again."""

    storage: StorageWeakRef
    version: int
    make: Callable[[], Tensor]


class _Place(NamedTuple):
    """What is kept of a tensor that lies in such an output."""

    make: Callable[[], Tensor]
    size: torch.Size
    stride: tuple[int, ...]
    offset: int


class _Kept:
    """What hooks of saved tensors know of one training."""

    def __init__(self) -> None:
        self.outputs: dict[int, _Output] = {}
        """By the address of their storage, which nothing else can have while a weak reference is held."""
        self.last: tuple[Callable[[], Tensor], Tensor] | None = None
        """The output made last: layers that read the same one after another have it made once."""

    def pack(self, tensor: Tensor) -> Any:
        output = self.outputs.get(tensor.untyped_storage()._cdata) if self.outputs else None
        if output is None or _is_gone(output) or tensor._version != output.version:
            return tensor
        return _Place(output.make, tensor.size(), tensor.stride(), int(tensor.storage_offset()))

    def unpack(self, kept: Any) -> Tensor:
        if not isinstance(kept, _Place):
            tensor: Tensor = kept
            return tensor
        if self.last is None or self.last[0] is not kept.make:
            self.last = kept.make, kept.make()
        return self.last[1].as_strided(kept.size, kept.stride, kept.offset)


def _is_gone(output: _Output) -> bool:
    return bool(output.storage.expired())  # type: ignore[no-untyped-call]


_KEPT: list[_Kept] = []


def can_be_made(output: Tensor, make: Callable[[], Tensor]) -> None:
    """Says that `make` gives what `output` holds now, laid out alike; it shall keep no more than is kept anyway."""
    if not _KEPT or output.is_inference():  # of which nothing is kept
        return
    known = _KEPT[-1].outputs
    for address in [address for address, earlier in known.items() if _is_gone(earlier)]:
        del known[address]
    storage = output.untyped_storage()
    known[storage._cdata] = _Output(StorageWeakRef(storage), output._version, make)  # type: ignore[no-untyped-call]


@contextmanager
def made_again() -> Iterator[None]:
    """Keeps no outputs that can be made again; gradients are the same to the bit."""
    kept = _Kept()
    _KEPT.append(kept)
    try:
        with torch.autograd.graph.saved_tensors_hooks(kept.pack, kept.unpack):
            yield
    finally:
        _KEPT.remove(kept)
