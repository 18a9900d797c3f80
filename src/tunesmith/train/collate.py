"""From examples to tensors: rows one after another, without padding, wherever a model reads them so.

Nothing the loss does not need is computed: a causal row ends before its last target, because later
tokens cannot reach a loss.

Shapes: N tokens of all rows, M supervised positions, B rows, T tokens of the longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunesmith.models.packing.layout import Layout

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Example


def pad(rows: Sequence[NDArray[np.generic]], value: int, device: torch.device) -> Tensor:
    """`[B, longest]` int64; short rows are filled up on the right with `value`."""
    longest = max((len(row) for row in rows), default=0)
    padded = np.full((len(rows), longest), value, dtype=np.int64)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return torch.from_numpy(padded).to(device)


def mask_of(lengths: Sequence[int], device: torch.device) -> Tensor:
    """`[B, longest]` bool; True where a row has tokens."""
    longest = max(lengths, default=0)
    return torch.from_numpy(np.arange(longest)[None, :] < np.asarray(lengths)[:, None]).to(device)


def read(examples: Sequence[Example], device: torch.device) -> dict[str, Tensor]:
    """Whole rows one after another: `ids_N`, and `lengths_B` (on the CPU)."""
    return _rows([example.ids for example in examples], device)


def padded(examples: Sequence[Example], pad_id: int, device: torch.device) -> dict[str, Tensor]:
    """`ids_BT` and `mask_BT` of whole rows."""
    return {
        "ids_BT": pad([example.ids for example in examples], pad_id, device),
        "mask_BT": mask_of([len(example.ids) for example in examples], device),
    }


def causal(examples: Sequence[Example], device: torch.device) -> dict[str, Tensor]:
    """Inputs and targets of next-token prediction.

    Returns:
        `ids_N` and `lengths_B`, each row cut before its last target; `positions_M`, from which of the N tokens
        each target is predicted; `targets_M`; `weights_M`, its example's weight.
    """
    # Target t is predicted from t-1, so the first token of a row cannot be one.
    targets = [np.flatnonzero(example.trained[1:]) + 1 for example in examples]
    lengths = [max(int(found[-1]) if len(found) else 0, 1) for found in targets]
    starts = np.cumsum([0, *lengths[:-1]])
    positions_M = np.concatenate([found - 1 + start for start, found in zip(starts, targets, strict=True)])
    targets_M = np.concatenate([example.ids[found] for example, found in zip(examples, targets, strict=True)])
    weights_M = np.repeat([example.weight for example in examples], [len(found) for found in targets])
    return {
        **_rows([example.ids[:length] for example, length in zip(examples, lengths, strict=True)], device),
        "positions_M": torch.from_numpy(positions_M).to(device),
        "targets_M": torch.from_numpy(targets_M.astype(np.int64)).to(device),
        "weights_M": torch.from_numpy(weights_M.astype(np.float32)).to(device),
    }


def layout_of(tensors: dict[str, Tensor]) -> Layout:
    """How the tokens of `read` or `causal` divide into rows."""
    return Layout(tuple(tensors["lengths_B"].tolist()), tensors["ids_N"].device)


def _rows(rows: Sequence[NDArray[np.int32]], device: torch.device) -> dict[str, Tensor]:
    return {
        "ids_N": torch.from_numpy(np.concatenate(rows).astype(np.int64)).to(device),
        "lengths_B": torch.tensor([len(row) for row in rows]),
    }
