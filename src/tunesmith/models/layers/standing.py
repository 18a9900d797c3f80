"""Gradients of weights that are added to where they stand, in place of one more that is added up afterwards.

Of several micro-batches in a step all but the first find a gradient. A product that writes into it spares memory as
large as the weight and two passes over it. Only a backward pass that fills `.grad` may: `torch.autograd.grad` must
find it untouched, and cannot be told from within. So whoever calls `backward` says so.
"""

from __future__ import annotations

import torch
from torch import Tensor

_FILLING: list[None] = []


def fill_gradients(loss: Tensor) -> None:
    """`loss.backward()`, in which gradients that stand may be added to in place."""
    _FILLING.append(None)
    try:
        loss.backward()  # type: ignore[no-untyped-call]
    finally:
        _FILLING.pop()


def standing(weight: Tensor) -> Tensor | None:
    """The gradient of a weight, to be added to; None where there is none in fp32 or a new one is to be returned."""
    found = weight.grad if _FILLING and weight.is_leaf else None
    suits = found is not None and found.dtype == weight.dtype == torch.float32 and found.is_contiguous()
    return found if suits and type(found) is Tensor else None
