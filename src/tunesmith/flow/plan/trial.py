"""A few real steps: what a step costs whatever its size, what each operation costs, and the memory they hold.

Steps of a run differ in length, so the trial learns rows of all lengths, in steps sorted by it, and a straight line
through what the steps took gives the cost of every other step. The longest rows are among them, so what the process
held at most is what the run will hold. One validation of some rows, one checkpoint and one saved model are timed too.

The processor's own time is fitted, which other people's work on the machine does not stretch; the clock's time of the
whole trial beside it says by how much it is stretched now.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tunesmith.data.encode.tokenize import Example
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.environment import on_gpu
from tunesmith.flow.plan.peak import Peak
from tunesmith.flow.plan.work import Load, Work
from tunesmith.flow.request import Request
from tunesmith.flow.training import VALIDATED_ROWS, open_objective, open_stage_model, validation_of
from tunesmith.flow.training.settle import without_cache
from tunesmith.models.memory import Estimate
from tunesmith.spec.quantity import Duration, Every
from tunesmith.spec.sections import Train
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.loop import fit
from tunesmith.train.measure import rows_at_once
from tunesmith.train.order.batches import Batches

STEPS = 6
"""Real steps done; the first one warms up."""
VALIDATED = 48
"""Validation rows measured once."""
SAVE_EVERY = 120.0
"""Seconds between two checkpoints where no validation comes first."""


@dataclass(frozen=True)
class Trial:
    """What the parts of a training cost here. Times are the processor's, in seconds."""

    steps: int
    """Real steps they rest on."""
    opening: float
    """Before the first step and after the last: opening, tracing, warming up, saving the model."""
    step: float
    """Of each step, whatever its size."""
    flop: float
    """Of each operation."""
    validation: float
    """Of one validation."""
    checkpoint: float
    stretch: float
    """How much longer the clock took than the processor."""
    peak_bytes: int | None
    """The most the process held; None where the system does not say."""

    def seconds(self, work: Work) -> float:
        """The clock's time of a whole stage."""
        learning = work.steps * self.step + work.flops * self.flop
        measuring = work.validations * (self.validation + self.checkpoint)
        saving = self.checkpoint * int((learning + measuring) / SAVE_EVERY)
        return self.stretch * (self.opening + learning + measuring + saving)

    def pace(self, flops: float) -> float:
        """The clock's time of a step of so many operations."""
        return self.stretch * (self.step + self.flop * flops)


def try_steps(
    request: Request,
    job: Job,
    number: int,
    stage: Train,
    examples: Sequence[Example],
    validation: Sequence[Example],
    batches: Batches,
    found: Estimate,
    count: int,
) -> Trial:
    """Does `count` real steps of a stage in a folder that is thrown away.

    Args:
        number: of the stage.
        stage: settled.
        examples: what it learns from.
        validation: what it is measured on.
        batches: its order.
        found: what each token asks of the machine.
    """
    clock = time.monotonic if on_gpu() else time.process_time
    began, wall = clock(), time.monotonic()
    peak = Peak()
    rows = [examples[row] for row in _stratified(batches, count)]
    some = _spread(validation, max(VALIDATED, rows_at_once(stage)))
    model = open_stage_model(request, job, number, request.base.reference)
    objective = open_objective(request, job, stage, model, model.device)
    measure = validation_of(job, stage, model, number, VALIDATED)
    tried = Batches(
        [row.num_tokens for row in rows], batch=batches.batch, micro_batch=stage.micro_batch, seed=stage.seed
    )
    count = min(count, len(tried.epoch(0)))
    work = [Load.of([rows[row] for micro in step for row in micro]).flops(found) for step in tried.epoch(0)][:count]
    ticks: list[float] = []
    measured = [0.0, 0.0]

    def validate() -> Mapping[str, float]:
        measured[0] = clock()
        figures = dict(measure()) if measure else {}
        measured[1] = clock()
        return figures

    with tempfile.TemporaryDirectory() as folder:
        steps = fit(
            model,
            rows,
            objective,
            train=_short(stage, count),
            checkpoints=Checkpoints(Path(folder) / "checkpoints"),
            validation=some,
            validate=validate,
        )
        ticks.extend(clock() for _ in steps)
        saved = clock()
        model.save(Path(folder) / "model")
        ended = clock()
    # The last step's own time ends where its validation begins.
    ends = [*ticks[:-1], measured[0]]
    took = np.diff(ends) if len(ends) > 1 else np.array([ends[0] - began])
    step, flop = line(work[1:] if len(ends) > 1 else work, took.tolist())
    metric_rows = min(VALIDATED_ROWS, len(job.splits["validation"]))
    metrics = (measured[1] - measured[0]) * metric_rows / max(1, min(VALIDATED, metric_rows))
    loss = (ticks[-1] - measured[1]) * Load.of(validation).tokens / max(1.0, Load.of(some).tokens)
    busy = clock() - began
    return Trial(
        steps=count,
        opening=max(0.0, ends[0] - began - step - flop * work[0]) + ended - saved,
        step=step,
        flop=flop,
        validation=metrics + loss,
        checkpoint=saved - ticks[-1],
        stretch=max(1.0, (time.monotonic() - wall) / busy) if busy else 1.0,
        peak_bytes=peak.read(),
    )


def line(work: Sequence[float], took: Sequence[float]) -> tuple[float, float]:
    """What each step took whatever its size, and for each unit of work: least squares, neither below zero."""
    from scipy.optimize import nnls

    if len(work) < 3:
        return 0.0, float(np.sum(took) / max(np.sum(work), 1.0))
    scale = float(np.mean(work))
    design = np.column_stack([np.ones(len(work)), np.array(work) / scale])
    (step, slope), _ = nnls(design, np.array(took))
    return float(step), float(slope) / scale


def _short(stage: Train, count: int) -> Train:
    """The stage with so many steps, and one validation after the last."""
    short = {"duration": Duration(count, "steps"), "validate_every": Every(count, "steps"), "watch": []}
    return without_cache(stage).model_copy(update=short)


def _stratified(batches: Batches, count: int) -> list[int]:
    """Rows of as many steps as asked for, from the lightest of the first epoch to the heaviest."""
    steps = batches.epoch(0)
    ordered = sorted(steps, key=lambda step: sum(int(batches.lengths[micro].sum()) for micro in step))
    chosen = np.unique(np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int))
    return list(dict.fromkeys(row for at in chosen for micro in ordered[at] for row in micro))


def _spread(examples: Sequence[Example], count: int) -> list[Example]:
    """Rows of all lengths, the longest among them."""
    ordered = sorted(examples, key=lambda example: example.num_tokens)
    if len(ordered) <= count:
        return ordered
    return [ordered[at] for at in np.linspace(0, len(ordered) - 1, count).round().astype(int)]
