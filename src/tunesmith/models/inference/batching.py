"""How rows become batches when a model is used rather than trained.

Tensors: B rows, T tokens.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from tunesmith.errors import ModelError
from tunesmith.models.model import Model


def nobody(done: int) -> None:
    """Tells nobody how many rows are done."""


def by_length(lengths: Sequence[int], batch: int) -> Iterator[list[int]]:
    """Rows in batches of similar length, the longest first: what does not fit in memory fails at once."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    for start in range(0, len(order), batch):
        yield order[start : start + batch]


def pad_right(rows: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids [B, T] padded on the right, and a mask [B, T] that is 1 on real tokens."""
    width = max(map(len, rows))
    ids_BT = torch.tensor([[*row, *[pad_id] * (width - len(row))] for row in rows], device=device)
    mask_BT = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    return ids_BT, mask_BT


def pad_left(rows: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids [B, T] padded on the left, so that all rows end in the last column, and their mask [B, T]."""
    ids_BT, mask_BT = pad_right([row[::-1] for row in rows], pad_id, device)
    return ids_BT.flip(dims=[1]), mask_BT.flip(dims=[1])


def check_prompts(model: Model, prompts: Sequence[Sequence[int]], lengths: Sequence[int]) -> None:
    """Refuses what a model cannot continue.

    Args:
        model: what is asked.
        prompts: token ids.
        lengths: how many tokens each row needs in the model's context.

    Raises:
        ModelError: the model has no language head, a prompt is empty, or a row is too long.
    """
    if model.head is not None:
        raise ModelError(
            f"a model with a {model.head_kind} head cannot generate",
            where=model.reference,
            fix="open it with head 'lm', or use classify and tag",
        )
    for row, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
        if not prompt:
            raise ModelError(f"prompt {row} is empty", where=model.reference, fix="begin it with a bos token or a text")
        if length > model.context:
            raise ModelError(
                f"row {row} takes {length} tokens, the model reads at most {model.context}",
                where=model.reference,
                fix="lower data.max_length, or choose a base with a longer context",
            )


def accepted(model: Model, **arguments: Any) -> dict[str, Any]:
    """Those of `arguments` that the architecture's forward knows."""
    known = inspect.signature(model.inner.forward).parameters
    return {name: value for name, value in arguments.items() if name in known}
