"""The order of learning: which examples make which optimizer step.

The order of an epoch is a pure function of the seed and the epoch's number, so a resumed run needs
no more than its position to go on exactly. Rows are shuffled, then sorted by length inside windows of
some batches, so that rows learned together are about equally long and little is spent on padding;
the batches are then shuffled again. Where a curriculum rules, rows are cut into batches by difficulty instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from tunesmith.spec.quantity import Batch
from tunesmith.train.order.epochs import Order
from tunesmith.train.weights.ranks import deal

WINDOW = 32
"""Batches whose rows are sorted by length together."""

Micro = list[int]
"""Indices of the examples computed at once."""


class Batches:
    """Divides examples into optimizer steps and micro-batches.

    Args:
        lengths: tokens of each example.
        batch: rows or tokens of one optimizer step.
        micro_batch: rows, or tokens with padding, computed at once; the whole batch when None. Never
            changes which examples a step learns from.
        seed: another seed, another order.
        order: which examples an epoch holds, and by what they are sorted; each once, at random, when None.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        batch: Batch,
        micro_batch: Batch | None = None,
        seed: int,
        order: Order | None = None,
    ) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.order = order or Order.plain(len(lengths))
        self.batch = batch
        self.micro_batch = micro_batch
        self.seed = seed
        self._cached = lru_cache(maxsize=2)(self._epoch)

    def epoch(self, number: int) -> list[list[Micro]]:
        """Epoch `number` (from 0): optimizer steps, each a list of micro-batches of example indices."""
        return self._cached(number)

    def steps_from(self, epoch: int, index: int) -> Iterator[tuple[int, int, list[Micro]]]:
        """Without end: the epoch, the step's index in it, and its micro-batches, from a position on."""
        while True:
            steps = self.epoch(epoch)
            for step in range(index, len(steps)):
                yield epoch, step, steps[step]
            epoch, index = epoch + 1, 0

    def share(self, micros: list[Micro], rank: int, count: int) -> list[Micro]:
        """The micro-batches of a step that process `rank` of `count` computes; together they are the step's rows."""
        if count == 1:
            return micros
        rows = [row for micro in micros for row in micro]
        mine = deal(rows, [int(self.lengths[row]) for row in rows], count)[rank]
        return self._micro_batches(mine) if mine else []

    def _epoch(self, number: int) -> list[list[Micro]]:
        random = np.random.default_rng((self.seed, number))
        order = random.permutation(self.order.rows(number, self.seed))
        if (difficulty := self.order.difficulty(number)) is not None:
            # Stable: rows of equal difficulty stay in their random order.
            graded = order[np.argsort(difficulty[order], kind="stable")]
            return [self._micro_batches(sorted(rows, key=self._length)) for rows in self._cut(graded.tolist())]
        size = self._window_rows()
        batches: list[list[int]] = []
        for start in range(0, len(order), size):
            window = order[start : start + size]
            window = window[np.argsort(self.lengths[window], kind="stable")]
            batches += self._cut(window.tolist())
        return [self._micro_batches(batches[place]) for place in random.permutation(len(batches))]

    def _length(self, row: int) -> int:
        return int(self.lengths[row])

    def _window_rows(self) -> int:
        if self.batch.unit == "rows":
            return WINDOW * int(self.batch.value)
        mean = float(self.lengths.mean()) if len(self.lengths) else 1.0
        return WINDOW * max(1, int(self.batch.value / max(mean, 1.0)))

    def _cut(self, window: list[int]) -> list[list[int]]:
        """Batches of rows in their order: as many as fit, at least one."""
        if self.batch.unit == "rows":
            return _cut_rows(window, int(self.batch.value))
        batches: list[list[int]] = [[]]
        tokens = 0
        for row in window:
            if batches[-1] and tokens + self.lengths[row] > self.batch.value:
                batches.append([])
                tokens = 0
            batches[-1].append(row)
            tokens += int(self.lengths[row])
        return batches

    def _micro_batches(self, rows: list[int]) -> list[Micro]:
        """Micro-batches of one batch's sorted rows; by tokens, a row counts as long as the longest."""
        if self.micro_batch is None:
            return [rows]
        if self.micro_batch.unit == "rows":
            return _cut_rows(rows, int(self.micro_batch.value))
        micros: list[Micro] = [[]]
        for row in rows:
            if micros[-1] and (len(micros[-1]) + 1) * self.lengths[row] > self.micro_batch.value:
                micros.append([])
            micros[-1].append(row)
        return micros


def _cut_rows(rows: list[int], size: int) -> list[list[int]]:
    size = max(1, size)
    return [rows[start : start + size] for start in range(0, len(rows), size)]
