"""Having a model compute by the kernels while it trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tunesmith.models.layers.native.again import made_again
from tunesmith.models.layers.native.library import library, used
from tunesmith.models.layers.native.norms import norms_and_gates
from tunesmith.models.layers.native.products import linears
from tunesmith.models.layers.native.replaced import Replaced, placed

if TYPE_CHECKING:
    import torch

    from tunesmith.models.model import Model


def replaceable(model: Model) -> list[Replaced]:
    """The modules of a model that the kernels compute faster; measured, so before weights are rounded or cut.

    Why there are no kernels on a CPU is said in the model's notes, once. Encoder-decoders are left to torch: T5's
    unscaled attention lets the other order of sums grow to 4e-5 of a gradient.
    """
    if model.device.type != "cpu" or model.family == "encoder_decoder":
        return []
    found, why = library()
    note = f"kernels in C are not used: {why}"
    if found is None and note not in model.notes:
        model.notes.append(note)
    return [*linears(model.module), *norms_and_gates(model.module)] if found else []


@contextmanager
def by_kernels(device: torch.device, replaced: Sequence[Replaced]) -> Iterator[None]:
    """Computes these modules, attention of rows, and products by the kernels; the same to rounding."""
    with used(library()[0] if device.type == "cpu" else None), placed(replaced), made_again():
        yield
