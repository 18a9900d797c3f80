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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from tunesmith.train.weights.ranks import ALONE

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
    """The clock's seconds to one of the processor's: less than one where several cores compute."""
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
    model.to(ALONE.device)
    objective = open_objective(request, job, stage, model, ALONE.device)
    measure = validation_of(job, stage, model, number, VALIDATED)
    tried = Batches(
        [row.num_tokens for row in rows], batch=batches.batch, micro_batch=stage.micro_batch, seed=stage.seed
    )
    count = min(count, len(tried.epoch(0)))
    work = [Load.of([rows[row] for micro in step for row in micro]).flops(found) for step in tried.epoch(0)][:count]
    marks = _Marks(clock)
    with tempfile.TemporaryDirectory() as folder:
        steps = fit(
            model,
            rows,
            objective,
            train=_short(stage, count),
            checkpoints=Checkpoints(Path(folder) / "checkpoints"),
            validation=some,
            validate=lambda: marks.validated(measure),
        )
        marks.steps.extend(clock() for _ in steps)
        marks.saved = clock()
        model.save(Path(folder) / "model")
        ended = clock()
    step, flop = line(work[1:] or work, marks.took(began))
    metric_rows = min(VALIDATED_ROWS, len(job.splits["validation"]))
    metrics = marks.metrics * metric_rows / max(1, min(VALIDATED, metric_rows))
    busy = clock() - began
    return Trial(
        steps=count,
        opening=max(0.0, marks.ends[0] - began - step - flop * work[0]) + ended - marks.saved,
        step=step,
        flop=flop,
        validation=metrics + marks.loss * Load.of(validation).tokens / max(1.0, Load.of(some).tokens),
        checkpoint=marks.saved - marks.steps[-1],
        stretch=(time.monotonic() - wall) / busy if busy else 1.0,
        peak_bytes=peak.read(),
    )


@dataclass
class _Marks:
    """What the clock said as a trial went on."""

    clock: Callable[[], float]
    steps: list[float] = field(default_factory=list)
    """After each step; after the last when its validation is done."""
    began: float = 0.0
    """When the validation began."""
    half: float = 0.0
    """When its metrics were measured, and its loss was not."""
    saved: float = 0.0

    def validated(self, measure: Callable[[], Mapping[str, float]] | None) -> Mapping[str, float]:
        """Measures the metrics, and notes when."""
        self.began = self.clock()
        figures = dict(measure()) if measure else {}
        self.half = self.clock()
        return figures

    @property
    def ends(self) -> list[float]:
        """Of the steps; the last one's own time ends where its validation begins."""
        return [*self.steps[:-1], self.began]

    def took(self, began: float) -> list[float]:
        """Each step but the first, which warms up; that where it is the only one."""
        return [float(each) for each in np.diff(self.ends)] or [self.ends[0] - began]

    @property
    def metrics(self) -> float:
        return self.half - self.began

    @property
    def loss(self) -> float:
        return self.steps[-1] - self.half


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
