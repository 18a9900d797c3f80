"""The loss of rows that are not learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from tunesmith.models.layers.kept import Kept
from tunesmith.train.objectives import Objective
from tunesmith.train.weights.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from tunesmith.data.encode.example import Example
    from tunesmith.models.load import Model
    from tunesmith.spec.sections import Train


@torch.no_grad()
def mean_loss(
    model: Model,
    examples: Sequence[Example],
    objective: Objective,
    *,
    rows: int,
    ranks: Ranks = ALONE,
    kept: Kept | None = None,
) -> float:
    """Mean loss of `examples`; how many are computed at once, or by how many processes, does not change it.

    Args:
        model: in evaluation mode.
        examples: at least one with something trained.
        objective: what is measured.
        rows: examples computed at once.
        ranks: the processes among which the examples are shared out.
        kept: what is known of the frozen layers' outputs, and is added to.
    """
    kept = kept or Kept(None)
    order = sorted(range(len(examples)), key=lambda index: (examples[index].num_tokens, index))
    order = order[ranks.rank :: ranks.count]
    total = count = 0.0
    for start in range(0, len(order), rows):
        batch = objective.batch([examples[index] for index in order[start : start + rows]], model)
        if batch.num_trained:
            with kept.reading(batch.tensors):
                total += float(objective.loss(model, batch).sum)
            count += batch.count
    whole = ranks.sums({"total": total, "count": count})
    return whole["total"] / whole["count"] if whole["count"] else math.nan


def rows_at_once(train: Train) -> int:
    """Rows whose loss is measured together."""
    size = train.micro_batch or train.batch
    return int(size.value) if size is not None and size.unit == "rows" else 8
