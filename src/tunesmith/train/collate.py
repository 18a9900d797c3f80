"""From examples to padded tensors.

Nothing the loss does not need is computed: a causal row ends before its last target, because later
tokens cannot reach a loss. Padding stands on the right, where causal attention never looks.

Shapes: B rows, T tokens, S answer tokens, N supervised positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from tunesmith.data.tokenize import Example


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


def read(examples: Sequence[Example], pad_id: int, device: torch.device) -> dict[str, Tensor]:
    """`ids_BT` and `mask_BT` of whole rows."""
    return {
        "ids_BT": pad([example.ids for example in examples], pad_id, device),
        "mask_BT": mask_of([len(example.ids) for example in examples], device),
    }


def causal(examples: Sequence[Example], pad_id: int, device: torch.device) -> dict[str, Tensor]:
    """Inputs and targets of next-token prediction.

    Returns:
        `ids_BT` and `mask_BT`, cut before the last target; `positions_N`, where in the flattened
        `[B*T]` each target is predicted from; `targets_N`; `weights_N`, its example's weight.
    """
    # Target t is predicted from t-1, so the first token of a row cannot be one.
    targets = [np.flatnonzero(example.trained[1:]) + 1 for example in examples]
    lengths = [max(int(found[-1]) if len(found) else 0, 1) for found in targets]
    width = max(lengths)
    ids_BT = pad([example.ids[:length] for example, length in zip(examples, lengths, strict=True)], pad_id, device)
    positions_N = np.concatenate([found - 1 + row * width for row, found in enumerate(targets)])
    targets_N = np.concatenate([example.ids[found] for example, found in zip(examples, targets, strict=True)])
    weights_N = np.repeat([example.weight for example in examples], [len(found) for found in targets])
    return {
        "ids_BT": ids_BT,
        "mask_BT": mask_of(lengths, device),
        "positions_N": torch.from_numpy(positions_N).to(device),
        "targets_N": torch.from_numpy(targets_N.astype(np.int64)).to(device),
        "weights_N": torch.from_numpy(weights_N.astype(np.float32)).to(device),
    }
