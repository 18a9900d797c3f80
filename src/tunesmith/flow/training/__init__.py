"""One training stage of a run: opens the model, fits it, saves it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tunesmith.data.encode.tokenize import Encoded, Example
from tunesmith.evaluate.predict import provides
from tunesmith.evaluate.predict.validate import validation_metrics
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.data.workshop import tokenizers
from tunesmith.flow.environment import memory_mb
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.flow.training.found import with_found
from tunesmith.flow.training.settle import Beginning, Shard
from tunesmith.metrics import Metric
from tunesmith.models.adapters import Adapter
from tunesmith.models.layers.native.use import note_kernels
from tunesmith.models.layers.precision import Halved
from tunesmith.models.load import Model, open_model
from tunesmith.models.packing.rows import packs
from tunesmith.runs import Run
from tunesmith.spec.sections import Train
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.loop import fit
from tunesmith.train.objectives import Objective
from tunesmith.train.order.epochs import Order
from tunesmith.train.state import put_result
from tunesmith.train.step import Step
from tunesmith.train.weights import choose_precision
from tunesmith.train.weights.private import refuse_pieces, spent
from tunesmith.train.weights.ranks import ALONE, Ranks

if TYPE_CHECKING:
    import torch

VALIDATED_ROWS = 1000
"""Rows on which metrics (not the loss) are measured while training."""


def train_here(
    run: Run,
    request: Request,
    job: Job,
    number: int,
    start: str,
    narrator: Narrator,
    stop: Callable[[], bool],
    ranks: Ranks = ALONE,
    shard: Shard = "off",
) -> dict[str, Any]:
    """Trains stage `number` from the model `start` in this process, and saves it; resumes from its checkpoints.

    Returns:
        What the stage came to: steps, tokens, seconds, the best figure. Empty in all processes but the first.

    Raises:
        Interrupted, NonFinite, UserError: see `tunesmith.train.loop.fit`.
    """
    job, name = with_found(run, job, number), f"train-{number + 1}"
    examples, validation, order = encode_stage(job, number, narrator)
    model, objective, stage, ranks = begin_stage(
        request, job, number, start, narrator, [examples, validation], ranks, shard
    )
    folder = run / "checkpoints" / str(number + 1)
    checkpoints = Checkpoints(folder, warn=lambda text: narrator.say("warning", text=text))
    last: Step | None = None
    best: Mapping[str, float] = {}
    began = time.monotonic()
    for step in fit(
        model,
        examples,
        objective,
        train=stage,
        order=order,
        checkpoints=checkpoints,
        validation=validation,
        validate=validation_of(job, stage, model, number),
        stop=stop,
        ranks=ranks,
    ):
        if last is None:
            narrator.say("note", text=_say_trained(model, stage, request))
            _tell_order(job, order, step, narrator)
        last = step
        tell_step(step, name, narrator)
        best = step.validation if step.best and step.validation else best
    if not ranks.first:
        return {}
    if ranks.shard:
        model = open_stage_model(request, job, number, start)
        put_result(model, stage, checkpoints)
    model.save(model_folder(run, job, number), **_facts(run, job, stage))
    shutil.rmtree(folder, ignore_errors=True)
    return {
        **_course(last, best, time.monotonic() - began),
        **_promised(stage, examples, last),
        "trained_parameters": _count_trained(model),
        "digest": open_digest(model_folder(run, job, number), request),
    }


def begin_stage(
    request: Request,
    job: Job,
    number: int,
    start: str,
    narrator: Narrator,
    rows: Sequence[Sequence[Example]],
    ranks: Ranks = ALONE,
    shard: Shard = "off",
) -> tuple[Model, Objective, Train, Ranks]:
    """What stage `number` trains, from the model `start`; and the stage as this machine takes it.

    Args:
        request: what is asked for.
        job: its records.
        number: of the stage, from 0.
        start: the model to go on from.
        narrator: told what happens.
        rows: what is learned from, and what is measured on.
        ranks: the processes that train.
        shard: what the spec says.
    """
    stage = job.spec.train[number]
    model = open_stage_model(request, job, number, start)
    objective = open_objective(request, job, stage, model, ranks.device)
    for note in model.notes:
        narrator.say("note", text=note)
    objective = objective.told(job.learned(number))
    examples, validation = rows
    stage, ranks = Beginning(request, model, stage, examples, validation, narrator, ranks).place(shard)
    return model, objective, stage, ranks


def _course(last: Step | None, best: Mapping[str, float], seconds: float) -> dict[str, Any]:
    """How a stage went: its last step, None where nothing was left to do, and its best figures."""
    return {
        "steps": last.number if last else 0,
        "tokens": last.tokens if last else 0,
        "seconds": round(last.seconds if last else seconds, 3),
        "stopped": last.stop if last else None,
        "best": dict(best),
    }


def _promised(stage: Train, examples: Sequence[Example], last: Step | None) -> dict[str, Any]:
    """What a private training promises of every row; nothing where it is none."""
    if stage.regularize.private is None:
        return {}
    lengths = [example.num_tokens for example in examples]
    return {"private": spent(stage, lengths, last.number if last else None).to_json()}


def encode_stage(job: Job, number: int, narrator: Narrator) -> tuple[Sequence[Example], Sequence[Example], Order]:
    """What stage `number` learns from, what it is measured on, and the order of learning."""
    encoded, validation = encode_splits(job, number, narrator)
    return encoded.examples, validation.examples, order_of_stage(job, number, encoded)


def encode_splits(job: Job, number: int, narrator: Narrator) -> tuple[Encoded, Encoded]:
    """What becomes of the rows that stage `number` learns from, and of those that it is measured on."""
    if job.tokenized and (found := job.tokenized.of(job, number)):
        return found
    stage = job.spec.train[number]
    codec = job.codec(stage)
    learned = job.render(stage, job.learned(number), learned=True)
    validation = job.render(stage, job.splits["validation"])
    with tokenizers(job.spec.scale) as cores:
        encoded, measured = (
            codec.encode_many(rows, lambda done: narrator.progressing("tokenize", done), cores.map)
            for rows in (learned, validation)
        )
    return encoded, measured


def order_of_stage(job: Job, number: int, encoded: Encoded) -> Order:
    """In what order stage `number` learns what its rows have become."""
    if job.spec.train[number].regularize.private:
        refuse_pieces(len(encoded.examples), len(np.unique(encoded.places)))
    return job.order(number, encoded.examples, job.learned(number).take(encoded.places))


def _count_trained(model: Model) -> int:
    weights = model.trainable().items()
    return sum(weight.numel() for name, weight in weights if not name.startswith("beside."))


def _say_trained(model: Model, stage: Train, request: Request) -> str:
    waits = stage.freeze is not None and stage.freeze.unfreeze is not None
    more = f" at first; one more layer begins every {stage.freeze.unfreeze}" if stage.freeze and waits else ""
    return f"{_count_trained(model):,} parameters train{more}; the base has {request.base.num_parameters:,}"


def open_objective(
    request: Request, job: Job, stage: Train, model: Model, device: torch.device | str = "cpu"
) -> Objective:
    """What a stage learns from, its teachers opened on its device, in the precision of what learns."""
    objective = job.objective(stage)
    teachers = {
        name: open_model(request.teachers[name].reference, workspace=request.workspace, head="lm")
        for name in objective.teachers()
    }
    for name, teacher in teachers.items():
        packs(teacher)
        model.notes += [f"teacher {name}: {note}" for note in teacher.notes]
        teacher.module.requires_grad_(False)
        teacher.to(device)
        Halved([teacher.module], choose_precision(stage.precision, teacher.device))
    return objective.taught_by(teachers)


def _tell_order(job: Job, order: Order, first: Step, narrator: Narrator) -> None:
    """Says what an epoch is mixed of, and that a training within its first never comes to the end of a curriculum."""
    if len(order.sources) > 1:
        whole = sum(source.count for source in order.sources)
        said = ", ".join(
            f"{held.count:,} ({held.count / whole:.1%}) of the {len(held.rows):,} rows of {job.source(held.origin)}"
            for held in order.sources
        )
        narrator.say("note", text=f"an epoch holds {said}")
    rule, epochs = job.spec.data.curriculum, first.total * first.epoch
    if rule is not None and epochs < 1 - 1e-9:
        end = "highest" if rule.order == "ascending" else "lowest"
        narrator.say(
            "warning",
            text=f"the training ends after {epochs:.0%} of its first epoch, and by data.curriculum the rows with the "
            f"{end} {rule.by} are never learned; write `train.duration: 1 epoch` or more",
        )


def open_stage_model(request: Request, job: Job, number: int, start: str) -> Model:
    """The model a stage begins with, its adapter attached."""
    stage, base = job.spec.train[number], job.spec.base
    first = number == 0
    model = open_model(
        start,
        workspace=request.workspace,
        head=job.objective(stage).head,
        labels=job.heads(stage),
        multi_label=job.multi_label,
        revision=base.revision if first else None,
        initialize=base.initialize if first else "pretrained",
        seed=stage.seed,
    )
    cast(Adapter, stage.adapter).attach(model, stage.seed)
    packs(model)  # measured here, while the weights are still in fp32
    note_kernels(model)
    return model


def model_folder(run: Run, job: Job, number: int) -> Path:
    """Where stage `number` leaves its model: the last in `model`, earlier ones in `model-1`, `model-2`, ..."""
    return run / ("model" if number == len(job.spec.train) - 1 else f"model-{number + 1}")


def open_digest(folder: Path, request: Request) -> str:
    """The digest of a saved model, read back from what was written."""
    from tunesmith.models.facts import base_facts

    return base_facts(str(folder.resolve()), workspace=request.workspace).digest


def measured_metrics(job: Job, stage: Train, number: int) -> list[Metric]:
    """The metrics of the goal that are measured in the middle of training: where that takes one forward pass."""
    how = job.manner(stage)
    if number < len(job.spec.train) - 1 or how not in ("classify", "tag") or not job.splits["validation"]:
        return []
    metrics = cast(Sequence[Metric], job.spec.evaluate.metrics or ())
    return [metric for metric in metrics if metric.needs <= provides(how) - {"seconds", "nll"}]


def validation_of(
    job: Job, stage: Train, model: Model, number: int, rows: int = VALIDATED_ROWS
) -> Callable[[], Mapping[str, float]] | None:
    """Measures them on the first validation rows; None where there are none."""
    metrics = measured_metrics(job, stage, number)
    if not metrics:
        return None
    records = job.render(stage, job.splits["validation"][:rows])
    codec, how = job.codec(stage), job.manner(stage)
    return lambda: validation_metrics(
        model, codec, records, metrics, manner=how, labels=job.labels, batch=job.spec.scale.batch
    )


def tell_step(step: Step, stage: str, narrator: Narrator) -> None:
    """Tells of a step all that is kept of it."""
    speed = step.tokens / step.seconds if step.seconds else 0.0
    narrator.say(
        "step",
        stage=stage,
        step=step.number,
        epoch=round(step.epoch, 4),
        loss=step.loss,
        lr=step.lr,
        grad_norm=step.grad_norm,
        tokens=step.trained,
        rows=step.rows,
        tokens_seen=step.tokens,
        seconds=round(step.seconds, 3),
        total_steps=step.total,
        tokens_per_second=round(speed, 1),
        seconds_left=round(step.seconds / step.number * (step.total - step.number), 1),
        memory_mb=round(memory_mb()),
        metrics=dict(step.metrics),
    )
    if step.validation is not None:
        narrator.say("validation", stage=stage, step=step.number, figures=dict(step.validation), best=step.best)
    for note in step.notes:
        narrator.say("diagnosis", stage=stage, after=step.number, text=note)
    if step.stop:
        narrator.say("note", text=f"{stage} ends at step {step.number}: {step.stop}")


def _facts(run: Run, job: Job, stage: Train) -> dict[str, Any]:
    """What whoever opens the model must know to ask it as it was trained."""
    return {
        "run": str(run),
        "objective": job.objective(stage).settings(),
        "task": job.spec.goal.task,
        "template": job.spec.prompt.template,
        "system": job.spec.prompt.system,
        "max_length": str(job.spec.data.max_length),
    }
