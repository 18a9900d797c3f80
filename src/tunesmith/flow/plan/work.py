"""How much a stage has to do: steps, tokens, operations, validations, from its real rows and its real order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunesmith.data.encode.tokenize import Example
from tunesmith.models.memory import Estimate
from tunesmith.spec.quantity import Every
from tunesmith.spec.sections import Train
from tunesmith.train.order.batches import Batches
from tunesmith.train.order.epochs import Order
from tunesmith.train.order.horizon import Horizon, Position


@dataclass(frozen=True)
class Load:
    """What some rows ask of a model."""

    tokens: float
    pairs: float
    """Squares of their lengths."""
    trained: float
    """Tokens that the loss counts."""

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Load:
        """That of these rows."""
        lengths = np.array([example.num_tokens for example in examples], dtype=np.float64)
        trained = sum(int(example.trained.sum()) for example in examples)
        return cls(float(lengths.sum()), float((lengths**2).sum()), float(trained))

    def flops(self, found: Estimate) -> float:
        """Operations of learning them once."""
        return found.flops(self.tokens, self.pairs, self.trained)


@dataclass(frozen=True)
class Work:
    """What a stage does from its first step to its last."""

    steps: int
    steps_an_epoch: int
    tokens: float
    flops: float
    """Of all steps; what is kept of frozen layers is not computed again."""
    validations: int

    @property
    def epochs(self) -> float:
        return self.steps / self.steps_an_epoch


def batches_of(stage: Train, examples: Sequence[Example], order: Order) -> Batches:
    """The stage's steps."""
    assert stage.batch, "a resolved stage"
    lengths = [example.num_tokens for example in examples]
    return Batches(lengths, batch=stage.batch, micro_batch=stage.micro_batch, seed=stage.seed, order=order)


def work_of(
    stage: Train,
    examples: Sequence[Example],
    batches: Batches,
    found: Estimate,
    *,
    cached: bool,
    steps: int | None = None,
) -> Work:
    """Counts what a stage does.

    Args:
        stage: resolved.
        examples: what it learns from.
        batches: their order.
        found: what each token asks of the machine.
        cached: whether the frozen layers' outputs are kept after the first epoch.
        steps: how many it takes, where its duration is a time.
    """
    assert stage.duration, "a resolved stage"
    an_epoch = len(batches.epoch(0))
    total = steps if steps is not None else Horizon(stage.duration, batches).total(Position())
    rows = batches.order.rows(0, stage.seed)
    load = Load.of([examples[row] for row in rows])
    epochs = total / an_epoch
    spared = found.flops_spared * load.tokens * max(0.0, epochs - 1) if cached else 0.0
    return Work(
        steps=total,
        steps_an_epoch=an_epoch,
        tokens=load.tokens * epochs,
        flops=load.flops(found) * epochs - spared,
        validations=_validations(stage, batches, total, load.tokens),
    )


def _validations(stage: Train, batches: Batches, total: int, tokens_an_epoch: float) -> int:
    """How often the validation rows are measured: at every multiple of `validate_every`, and at the end."""
    every = stage.validate_every or Every(1, "epochs")
    an_epoch = len(batches.epoch(0))
    before = total - 1
    if every.unit == "steps":
        done = float(before)
    elif every.unit == "tokens":
        done = tokens_an_epoch * before / an_epoch
    else:
        done = before / an_epoch
    return math.floor(done / every.value + 1e-9) + 1
