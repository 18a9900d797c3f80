"""Short trainings: a candidate learns for some steps, and its validation figure is carried to the whole training.

The steps are the first of the run itself, on training rows in their own order; test rows are never opened. The rate
stays at its peak after the warm-up, since a course that is carried on must not have begun to come to rest.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np

from tunesmith.data.encode.tokenize import Example
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.environment import free_memory
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.plan.course import Projection, project
from tunesmith.flow.plan.work import batches_of
from tunesmith.flow.request import Request
from tunesmith.flow.training import encode_stage, open_objective, open_stage_model, validation_of
from tunesmith.flow.training.settle import settle_memory, without_cache
from tunesmith.metrics import Metric
from tunesmith.models.load import Model
from tunesmith.part import SCHEDULES
from tunesmith.records import Record
from tunesmith.spec.quantity import Duration, Every, Stretch
from tunesmith.spec.sections import Train
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.loop import fit
from tunesmith.train.measure import mean_loss, rows_at_once
from tunesmith.train.objectives import Objective
from tunesmith.train.order.horizon import Horizon, Position
from tunesmith.train.weights.ranks import ALONE

POINTS = 8
"""Validations in a short training."""
GROUPS = 10
"""Of validation rows; how far their losses lie apart says how sure the mean is."""
VALIDATED = 1000
"""Validation rows at most."""
WARMUP = "10%"
"""Of the short training."""


@dataclass(frozen=True)
class Tried:
    """A short training of one candidate."""

    steps: int
    total: int
    """Steps of the whole training."""
    rows: int
    """Training rows learned from."""
    figure: str
    """What was measured on the validation rows."""
    better: str
    validated: int
    """Validation rows."""
    course: tuple[tuple[int, float], ...]
    """Steps done, and the figure there."""
    projection: Projection


def try_base(request: Request, job: Job, steps: int, narrator: Narrator) -> Tried:
    """Trains a job's base for at most so many steps of its last stage; keeps nothing."""
    with short_training(request, job, steps, narrator) as (tried, _):
        return tried


@contextmanager
def short_training(request: Request, job: Job, steps: int, narrator: Narrator) -> Iterator[tuple[Tried, Model]]:
    """A short training and the model that came of it.

    Args:
        request: with the base.
        job: resolved for it; of its splits only `train` and `validation` are looked at.
        steps: at most so many.
        narrator: told how far it is.
    """
    number = len(job.spec.train) - 1
    held = replace(job, splits={**job.splits, "validation": job.splits["validation"][:VALIDATED]})
    examples, validation, order = encode_stage(held, number, narrator)
    stage = settle_memory(request, job.spec.train[number], examples, validation, free_memory()).stage
    assert stage.duration
    batches = batches_of(stage, examples, order)
    total = Horizon(stage.duration, batches).total(Position())
    count = min(steps, total)
    learned = {row for step in _first(batches.steps_from(0, 0), count) for micro in step for row in micro}
    model = open_stage_model(request, held, number, request.base.reference)
    model.to(ALONE.device)
    objective = open_objective(request, held, stage, model, ALONE.device)
    measured = validation_of(held, stage, model, number, VALIDATED)
    course: list[tuple[int, float]] = []
    figure, metric = _figure(held, stage) if measured else ("loss", None)
    with tempfile.TemporaryDirectory() as folder:
        for step in fit(
            model,
            examples,
            objective,
            train=_short(stage, count),
            checkpoints=Checkpoints(Path(folder)),
            order=order,
            validation=validation,
            validate=measured,
        ):
            narrator.progressing(f"try {request.base.reference}", step.number, count)
            if step.validation and figure in step.validation:
                course.append((step.number, step.validation[figure]))
    better: str = metric.better if metric else "lower"
    scale = 1.0 if metric else _a_character(held.render(stage, held.splits["validation"]), validation)
    values = [value * scale for _, value in course]
    error = _error(values[-1], len(validation)) if metric else scale * _spread(model, validation, objective, stage)
    where = [at for at, _ in course]
    tried = Tried(
        steps=count,
        total=total,
        rows=len(learned),
        figure=figure if metric else "nats a character",
        better=better,
        validated=len(validation),
        course=tuple(zip(where, values, strict=True)),
        projection=project(where, values, total, error, better=better, seed=stage.seed),
    )
    yield tried, model


def _first(steps: Iterator[tuple[int, int, list[list[int]]]], count: int) -> Iterator[list[list[int]]]:
    for _, (_, _, micros) in zip(range(count), steps, strict=False):
        yield micros


def _short(stage: Train, count: int) -> Train:
    """The stage with so many steps at a steady rate, validated evenly."""
    steady = SCHEDULES.make("constant").model_copy(update={"warmup": Stretch.parse(WARMUP)})
    update = {
        "duration": Duration(count, "steps"),
        "validate_every": Every(max(1, count // POINTS), "steps"),
        "schedule": steady,
        "watch": [],
    }
    return without_cache(stage).model_copy(update=update)


def _figure(job: Job, stage: Train) -> tuple[str, Metric | None]:
    """What is measured in a forward pass: the goal's first metric of labels, from 0 to 1; else the loss."""
    for metric in cast(list[Metric], job.spec.evaluate.metrics or []):
        if metric.kind in ("accuracy", "f1_macro", "f1_micro", "entity_f1", "exact_match"):
            return metric.name, metric
    return "loss", None


def _a_character(rows: Sequence[Record], examples: Sequence[Example]) -> float:
    """Trained tokens for each character of what is learned: losses of different tokenizers compare only so."""
    characters = sum(len(row.answer or row.text or "") for row in rows)
    trained = sum(int(example.trained.sum()) or len(example.answer_ids or ()) for example in examples)
    return trained / max(characters, 1)


def _error(share: float, rows: int) -> float:
    """Standard error of a share, with Agresti and Coull's (1998) two rows of each kind added."""
    center = (share * rows + 2) / (rows + 4)
    return math.sqrt(center * (1 - center) / (rows + 4))


def _spread(model: Model, examples: Sequence[Example], objective: Objective, stage: Train) -> float:
    """Standard error of the mean loss, from groups of rows."""
    groups = [examples[start::GROUPS] for start in range(min(GROUPS, len(examples)))]
    losses = [mean_loss(model, group, objective, rows=rows_at_once(stage)) for group in groups]
    sound = [loss for loss in losses if math.isfinite(loss)]
    return float(np.std(sound, ddof=1) / math.sqrt(len(sound))) if len(sound) > 1 else math.inf


def ranked(tried: Mapping[str, Tried]) -> list[str]:
    """Names, the best projection first."""
    sign = {name: -1 if one.better == "higher" else 1 for name, one in tried.items()}
    return sorted(tried, key=lambda name: sign[name] * tried[name].projection.value)


def undecided(tried: Mapping[str, Tried]) -> list[tuple[str, str]]:
    """Neighbours in the ranking whose intervals overlap, so that the order of the two is not decided."""
    return [
        (one, other)
        for one, other in pairwise(ranked(tried))
        if tried[one].projection.low <= tried[other].projection.high
        and tried[other].projection.low <= tried[one].projection.high
    ]
