"""Rows laid one after another, without padding: what each row is, and which are computed together.

Everything but attention works on tokens alone, so rows need no padding there. Attention looks at rows:
they are put into buckets of about equal lengths, and only there shorter rows are filled up.

Tensors: N tokens of all rows, B rows of a bucket, T tokens of its longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

WASTE = 1.125
"""A bucket may hold this many times the tokens of its rows."""


@dataclass(frozen=True)
class Bucket:
    """Rows of about equal lengths."""

    start: int
    """Where its first row begins, when its rows lie side by side and are equally long; -1 otherwise."""
    count: int
    """B."""
    width: int
    """T."""
    token_BT: Tensor
    """Which of the N tokens stands where; padded places repeat a row's last token."""
    real_BT: Tensor | None
    """True on real tokens; None where all are."""

    def take(self, values_NX: Tensor) -> Tensor:
        """The bucket's rows [B, T, ...] of values [N, ...]; padded places hold copies."""
        if self.start >= 0:
            rows = values_NX[self.start : self.start + self.count * self.width]
            return rows.view(self.count, self.width, *values_NX.shape[1:])
        return values_NX.index_select(0, self.token_BT.view(-1)).view(self.count, self.width, *values_NX.shape[1:])

    def put(self, values_NX: Tensor, rows_BTX: Tensor) -> None:
        """Writes the bucket's rows back to their tokens; what stands in padded places is left out."""
        rows_BTX = rows_BTX.to(values_NX.dtype)
        if self.start >= 0:
            values_NX[self.start : self.start + self.count * self.width].view_as(rows_BTX).copy_(rows_BTX)
        elif self.real_BT is None:
            values_NX[self.token_BT] = rows_BTX
        else:
            values_NX[self.token_BT[self.real_BT]] = rows_BTX[self.real_BT]


@dataclass(frozen=True)
class Layout:
    """How N tokens divide into rows.

    Args:
        lengths: tokens of each row, in their order; none is empty.
        device: where the tokens are.
    """

    lengths: tuple[int, ...]
    device: torch.device

    @property
    def num_tokens(self) -> int:
        return sum(self.lengths)

    @cached_property
    def longest(self) -> int:
        return max(self.lengths)

    @cached_property
    def starts_B(self) -> Tensor:
        """Where each row begins, on the CPU."""
        lengths_B = torch.tensor(self.lengths)
        return lengths_B.cumsum(0) - lengths_B

    @cached_property
    def positions_N(self) -> Tensor:
        """The place of each token in its row, from 0."""
        lengths_B = torch.tensor(self.lengths)
        begins_N = torch.repeat_interleave(self.starts_B, lengths_B)
        return (torch.arange(self.num_tokens) - begins_N).to(self.device)

    @cached_property
    def whole(self) -> Bucket:
        """All rows as one bucket, in their order."""
        return self._bucket(list(range(len(self.lengths))))

    @cached_property
    def buckets(self) -> tuple[Bucket, ...]:
        """All rows, put together by length so that little is padded."""
        groups: list[list[int]] = [[]]
        held = 0
        for row in sorted(range(len(self.lengths)), key=lambda row: self.lengths[row]):
            length = self.lengths[row]
            if groups[-1] and (len(groups[-1]) + 1) * length > WASTE * (held + length):
                groups.append([])
                held = 0
            groups[-1].append(row)
            held += length
        return tuple(self._bucket(group) for group in groups)

    def _bucket(self, rows: Sequence[int]) -> Bucket:
        lengths_B = torch.tensor([self.lengths[row] for row in rows])
        starts_B = self.starts_B[torch.tensor(rows)]
        count, width = len(rows), int(lengths_B.max())
        equal = bool((lengths_B == width).all())
        beside = equal and bool((starts_B.diff() == width).all())
        columns_T = torch.arange(width)
        inside_BT = torch.minimum(columns_T[None], lengths_B[:, None] - 1)
        return Bucket(
            start=int(starts_B[0]) if beside else -1,
            count=count,
            width=width,
            token_BT=(starts_B[:, None] + inside_BT).to(self.device),
            real_BT=None if equal else (columns_T[None] < lengths_B[:, None]).to(self.device),
        )
