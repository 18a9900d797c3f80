"""What an optimizer step learns from, and what a training says after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunesmith.train.objectives import Batch


@dataclass(frozen=True)
class Step:
    """One optimizer step, done."""

    number: int
    """Counted from 1."""
    total: int
    """How many steps there will be; an estimate where the duration is a time."""
    epoch: float
    """Epochs done, with the part of the current one."""
    loss: float
    """Mean loss of the trained tokens (or rows), weights included."""
    lr: float
    """The learning rate this step was taken with."""
    grad_norm: float
    """Length of the whole gradient before clipping."""
    rows: int
    """Examples learned from in this step."""
    trained: int
    """Targets the loss counted in this step: tokens, or rows for `classify`."""
    tokens: int
    """Tokens read since the training began, padding left out."""
    seconds: float
    """Time since the training began, pauses between runs left out."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Further figures of the objective, over this step's targets."""
    validation: Mapping[str, float] | None = None
    """Figures of the validation rows, where they were measured after this step; `loss` among them."""
    best: bool = False
    """Whether these figures are the best so far."""
    notes: tuple[str, ...] = ()
    """What the watchers found worth saying of the training so far, each in whole sentences."""
    stop: str | None = None
    """Why the training ends here, before its time."""
    saved: bool = False
    """Whether a checkpoint is written when the next step is asked for."""


def amounts(batches: Sequence[Batch]) -> dict[str, float]:
    """What micro-batches hold: what their losses are divided by, tokens read, targets trained."""
    return {
        "count": sum(batch.count for batch in batches),
        "tokens": sum(batch.num_tokens for batch in batches),
        "trained": sum(batch.num_trained for batch in batches),
    }


def named(rows: Sequence[str]) -> str:
    """The rows of a step, for messages."""
    more = f" and {len(rows) - 8} more" if len(rows) > 8 else ""
    return f"rows {', '.join(rows[:8])}{more}"
