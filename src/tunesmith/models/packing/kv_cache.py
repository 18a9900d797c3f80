"""Keys and values of rows that go on growing, kept between calls without padding.

Every row owns a slot. Slots in use lie side by side: when a row ends, one from the end moves into its slot and the
others stay where they are. What a slot holds behind its row's end counts nothing.

Tensors: N new tokens of all rows, S rows, C places of a slot, G key and value heads, R query heads of each of them,
H = G R query heads, X = S G, K head width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from tunesmith.models.packing.layout import Layout

BLOCK = 32
"""Slots hold a multiple of this many tokens; they are enlarged when a row does not fit, which copies them."""


class KVCache:
    """Keys and values that every attention module of a model has computed for the rows in its slots.

    Args:
        slots: rows it holds at most.
        device: where they are kept.
    """

    def __init__(self, slots: int, device: torch.device) -> None:
        self.slots, self.device = slots, device
        self.lengths: list[int] = []
        """Tokens of each row, in the order of their slots."""
        self.places = 0
        """Tokens that a slot holds, C."""
        self._states: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def begin(self, lengths: Sequence[int]) -> Growth:
        """Takes slots for rows of these lengths; a model that runs over the growth fills them."""
        first = len(self.lengths)
        self.lengths += lengths
        return self._growth(first, tuple(lengths))

    def advance(self) -> Growth:
        """One token more for every row."""
        self.lengths = [length + 1 for length in self.lengths]
        return self._growth(0, (1,) * len(self.lengths))

    def keep(self, rows: Sequence[int]) -> None:
        """Forgets all rows but these, which take the slots from 0 on; a row may only move to a lower slot.

        Args:
            rows: their slots so far; those that stay where they are cost nothing.
        """
        for slot, row in enumerate(rows):
            if slot != row:
                for state in (state for states in self._states.values() for state in states):
                    state[slot, :, : self.lengths[row]] = state[row, :, : self.lengths[row]]
        self.lengths = [self.lengths[row] for row in rows]

    def write(self, module: nn.Module, growth: Growth, *fresh_NGK: Tensor) -> None:
        """Keeps the keys and values that an attention module computed for new tokens."""
        held: tuple[Tensor, ...] | None = self._states.get(module)
        if held is None:
            # Zeros, for nothing times what memory happens to hold may be NaN.
            held = tuple(
                fresh.new_zeros(self.slots, fresh.shape[1], self.places, fresh.shape[2]) for fresh in fresh_NGK
            )
        elif more := self.places - held[0].shape[2]:
            held = tuple(pad(state, (0, 0, 0, more)) for state in held)
        self._states[module] = held[0], held[1]
        for state, fresh in zip(held, fresh_NGK, strict=True):
            state.transpose(1, 2)[growth.slot_N, growth.positions_N] = fresh

    def read(self, module: nn.Module) -> tuple[Tensor, Tensor]:
        """Keys and values of all rows, [X, C, K]."""
        key_SGCK, value_SGCK = self._states[module]
        rows = len(self.lengths)
        return key_SGCK[:rows].flatten(0, 1), value_SGCK[:rows].flatten(0, 1)

    def _growth(self, first: int, new: tuple[int, ...]) -> Growth:
        needed = -(-max(self.lengths) // BLOCK) * BLOCK
        # Attention works through all places: those of long rows that have left are given up.
        if not self.places // 2 <= needed <= self.places:
            self.places = needed
        behind = tuple(length - more for length, more in zip(self.lengths[first:], new, strict=True))
        return Growth(new, self.device, self, first, behind)


@dataclass(frozen=True)
class Growth(Layout):
    """New tokens behind those that a cache holds: whole rows that begin, or one token of every row."""

    cache: KVCache
    first: int
    """The slot of the first row; the others follow it."""
    behind: tuple[int, ...]
    """How many tokens of each row came before."""

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest of its rows, those that came before included."""
        return max(before + new for before, new in zip(self.behind, self.lengths, strict=True))

    @cached_property
    def positions_N(self) -> Tensor:
        """The place of each token in its row, from 0."""
        behind_N = torch.tensor(self.behind).repeat_interleave(torch.tensor(self.lengths)).to(self.device)
        return behind_N + super().positions_N

    @cached_property
    def slot_N(self) -> Tensor:
        """The slot of each token's row."""
        slots_B = torch.arange(self.first, self.first + len(self.lengths))
        return slots_B.repeat_interleave(torch.tensor(self.lengths)).to(self.device)

    def attend(self, module: nn.Module, query_SHK: Tensor, scale: float, window: int | None) -> Tensor:
        """Attention [S, H, K] of one new token a row to all that its row holds.

        By plain matrix products, the query heads of a key head together: torch's flash kernel for CPUs works through
        every query head by itself and is up to ten times slower (docs/log.md). Softmax is computed in fp32.
        """
        key_XCK, value_XCK = self.cache.read(module)
        query_XRK = query_SHK.reshape(len(key_XCK), -1, query_SHK.shape[-1])
        bias_X1C = self._bias(len(key_XCK), window, query_SHK.dtype)
        scores_XRC = torch.baddbmm(bias_X1C, query_XRK, key_XCK.transpose(1, 2), alpha=scale)
        weights_XRC = scores_XRC.softmax(dim=-1, dtype=torch.float32).to(value_XCK.dtype)
        return torch.bmm(weights_XRC, value_XCK).view(*query_SHK.shape[:2], -1)

    def _bias(self, heads: int, window: int | None, dtype: torch.dtype) -> Tensor:
        """[X, 1, C] what is added to the scores: nothing, or -inf on places that a row's new token does not see."""
        wanted = heads, window, dtype
        if wanted not in self._biases:
            distance_SC = self.positions_N[:, None] - torch.arange(self.cache.places, device=self.device)
            hidden_SC = distance_SC < 0
            if window is not None:
                hidden_SC |= distance_SC >= window
            bias_SC = torch.zeros(hidden_SC.shape, dtype=dtype, device=self.device).masked_fill_(hidden_SC, -math.inf)
            self._biases[wanted] = bias_SC.repeat_interleave(heads // len(bias_SC), dim=0)[:, None]
        return self._biases[wanted]

    @cached_property
    def _biases(self) -> dict[tuple[int, int | None, torch.dtype], Tensor]:
        """Layers share them."""
        return {}
