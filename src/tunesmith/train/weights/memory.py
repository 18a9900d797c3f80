"""What is kept and what is computed again: layers, outputs of frozen ones; and when freed memory is given back.

Left to itself glibc gives large blocks back to the system as soon as they are free, and fetching them again, page by
page, is a tenth of a step. So it is told to hold them. But batches of ever new lengths leave holes of ever new sizes
in its heap: a model of 6 million parameters was seen to hold 6 GB after 1,500 steps, most of it free. So every few
steps all that is free is given back; that costs about 10 ms.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import torch

from tunesmith.errors import ModelError

if TYPE_CHECKING:
    from tunesmith.data.encode.example import Example
    from tunesmith.models.layers.kept import Kept
    from tunesmith.models.load import Model
    from tunesmith.train.objectives import Objective


@contextmanager
def recomputed(model: Model, wanted: bool) -> Iterator[None]:
    """Lets the backward pass compute each layer again instead of keeping it (arXiv 1604.06174); same gradients.

    Raises:
        ModelError: the architecture cannot.
    """
    if not wanted:
        yield
        return
    if not model.inner.supports_gradient_checkpointing:
        raise ModelError(
            f"models of type {model.inner.config.model_type!r} cannot compute their layers again",
            where="train.checkpointing",
            fix="write `checkpointing: off` and a smaller micro_batch",
        )
    config = model.inner.config
    caching = getattr(config, "use_cache", False)
    model.inner.activation_checkpointing_enable()
    # Transformers has embeddings carry a gradient then, which would lead the backward pass through frozen layers.
    model.inner.disable_input_require_grads()
    config.use_cache = False
    try:
        yield
    finally:
        config.use_cache = caching
        model.inner.activation_checkpointing_disable()


@torch.no_grad()
def recall(
    kept: Kept, model: Model, objective: Objective, examples: Sequence[Example], micros: Iterable[Sequence[int]]
) -> None:
    """Computes again what an earlier process kept of the frozen layers' outputs: in the same batches, so to the bit.

    Args:
        kept: empty.
        model: in training mode before and after.
        objective: of the training.
        examples: what it learns from.
        micros: the micro-batches it has learned from, in their order.
    """
    seen: set[int] = set()
    model.train(False)
    for micro in micros:
        if seen.issuperset(micro):
            continue
        seen.update(micro)
        batch = objective.batch([examples[row] for row in micro], model)
        # What holds nothing to learn was not computed then.
        if batch.num_trained and not kept.knows(batch.tensors):
            with kept.reading(batch.tensors):
                objective.loss(model, batch)
    model.train(True)


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""glibc's names for: how much may be free at the end of the heap, by how much that grows, what gets its own pages."""
HELD = {M_MMAP_THRESHOLD: 2**30, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26}
USUAL = {M_MMAP_THRESHOLD: 2**25, M_TRIM_THRESHOLD: 2**26, M_TOP_PAD: 2**17}
"""What glibc comes to by itself once blocks of 32 MB have been freed."""


@cache
def garbage_collected() -> None:
    """Has Python's collector go through everything, once in a process.

    It does so by itself when a quarter as many objects are new as had survived the last time, which after imports of
    half a million is every few seconds, 0.4 s each: a twentieth of the first steps.
    """
    gc.collect()


@contextmanager
def memory_held() -> Iterator[None]:
    """Has the C heap hold what is freed, where the C library is glibc; Python's garbage is collected before."""
    garbage_collected()
    _tell_heap(HELD)
    try:
        yield
    finally:
        _tell_heap(USUAL)
        return_free_memory()


def _tell_heap(settings: dict[int, int]) -> None:
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        for name, value in settings.items():
            library.mallopt(name, value)


def return_free_memory() -> None:
    """Hands free pages of the C heap back; does nothing where the C library cannot."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
