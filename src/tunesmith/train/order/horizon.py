"""How long a training lasts, counted in optimizer steps.

Epochs, steps and tokens give an exact number of steps before the first one is done. Time does not:
there the number is estimated from the pace so far, so a training measured in time ends, and lets its
learning rate fall, a little differently on each run and cannot be repeated bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from tunesmith.spec.quantity import Duration, Every, Quantity, Stretch
from tunesmith.train.order.batches import Batches


@dataclass
class Position:
    """How far a training has come. All counts are of what is done."""

    epoch: int = 0
    """The epoch the next step belongs to."""
    index: int = 0
    """The next step's place in that epoch."""
    step: int = 0
    """Optimizer steps."""
    tokens: int = 0
    """Tokens read, padding left out."""
    seconds: float = 0.0
    """Time spent training, pauses between runs left out."""


class Horizon:
    """Turns durations, stretches and intervals into optimizer steps.

    Args:
        duration: how long to train.
        batches: the order of learning.
    """

    def __init__(self, duration: Duration, batches: Batches) -> None:
        self.duration = duration
        self.batches = batches
        self._count = cache(self._count_steps)
        self._exact = None if duration.unit == "seconds" else max(1, self._count(duration))

    def total(self, at: Position) -> int:
        """Optimizer steps in all; an estimate where the duration is a time."""
        if self._exact is not None:
            return self._exact
        if at.step == 0 or at.seconds == 0:
            return len(self.batches.epoch(0))
        return max(at.step + 1, round(at.step * self.duration.value / at.seconds))

    def ended(self, at: Position) -> bool:
        """Whether nothing is left to do."""
        if self._exact is not None:
            return at.step >= self._exact
        return at.seconds >= self.duration.value

    def steps(self, stretch: Stretch, total: int) -> int:
        """The optimizer steps of a stretch of a training of `total` steps."""
        if stretch.unit == "%":
            return round(total * stretch.value / 100)
        return self._count(stretch)

    def epochs(self, at: Position) -> float:
        """Epochs done, with the part of the current one."""
        return at.epoch + (at.index / len(self.batches.epoch(at.epoch)) if at.index else 0.0)

    def passed(self, every: Every, before: Position, now: Position) -> bool:
        """Whether a multiple of `every` lies behind `now` and not behind `before`."""
        return self.times(every, now) > self.times(every, before)

    def times(self, every: Every, at: Position) -> int:
        """How many multiples of `every` lie behind."""
        if every.unit == "steps":
            done = float(at.step)
        elif every.unit == "tokens":
            done = float(at.tokens)
        else:
            done = self.epochs(at)
        return math.floor(done / every.value + 1e-9)

    def _count_steps(self, length: Quantity) -> int:
        if length.unit == "steps":
            return int(length.value)
        steps = tokens = epoch = 0
        while length.unit == "epochs" and epoch + 1 <= length.value:
            steps += len(self.batches.epoch(epoch))
            epoch += 1
        if length.unit == "epochs":
            share = length.value - epoch
            return steps + (math.ceil(share * len(self.batches.epoch(epoch)) - 1e-9) if share > 0 else 0)
        for _, _, micros in self.batches.steps_from(0, 0):
            if tokens >= length.value:
                break
            tokens += sum(int(self.batches.lengths[micro].sum()) for micro in micros)
            steps += 1
        return steps
