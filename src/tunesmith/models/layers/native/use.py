"""Having a model compute by the kernels while it trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from tunesmith.models.layers.native.again import made_again
from tunesmith.models.layers.native.gates import gate
from tunesmith.models.layers.native.library import library, used
from tunesmith.models.layers.native.norms import norm
from tunesmith.models.layers.native.products import linears
from tunesmith.models.layers.native.replaced import Replaced, placed, reads_one
from tunesmith.models.layers.native.rotary import rotations

if TYPE_CHECKING:
    from tunesmith.models.model import Model


def note_kernels(model: Model) -> None:
    """Says in the model's notes why a training of it on this machine goes without kernels, where it could have some."""
    if _can(model) and (why := library()[1]):
        model.notes.append(f"kernels in C are not used: {why}")


def replaceable(model: Model) -> list[Replaced]:
    """What of a model the kernels compute faster; measured, so before weights are rounded or cut."""
    if not _can(model) or library()[0] is None:
        return []
    return [*linears(model.module), *norms_and_gates(model.module), *rotations(model.module)]


def _can(model: Model) -> bool:
    """Encoder-decoders are left to torch: T5's unscaled attention lets the other order of sums grow to 4e-5 of a
    gradient."""
    return model.device.type == "cpu" and model.family != "encoder_decoder"


@torch.no_grad()
def norms_and_gates(model: nn.Module) -> list[Replaced]:
    """What of a model computes RMSNorms, and units gated by a SiLU."""
    training = model.training
    model.eval()
    try:
        own = [module for module in model.modules() if "forward" not in vars(module) and reads_one(module)]
        return [found for module in own if (found := norm(module) or gate(module))]
    finally:
        model.train(training)


@contextmanager
def by_kernels(device: torch.device, replaced: Sequence[Replaced]) -> Iterator[None]:
    """Computes these modules, attention of rows, and products by the kernels, the same to rounding; by torch alone
    where there are none."""
    found = library()[0] if device.type == "cpu" else None
    if found is None:
        yield
        return
    with used(found), placed(replaced), made_again():
        yield
