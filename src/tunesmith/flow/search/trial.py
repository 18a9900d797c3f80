"""One trial: a training of the study's rows with values of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.data.encode.tokenize import Example
from tunesmith.errors import NonFinite, OutOfMemory
from tunesmith.evaluate.predict import predict
from tunesmith.events import Events
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.flow.search.bench import Bench
from tunesmith.flow.training import begin_stage, model_folder, order_of_stage, tell_step, validation_of
from tunesmith.metrics.latency_p95 import LatencyP95
from tunesmith.models.load import Model
from tunesmith.runs import Run, read_json, write_json
from tunesmith.search.conduct import Look, Shelf, Training, carry
from tunesmith.search.study import Trial
from tunesmith.spec.quantity import Every
from tunesmith.spec.sections import Train
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.loop import fit
from tunesmith.train.order.batches import Batches
from tunesmith.train.order.epochs import Order
from tunesmith.train.order.horizon import Horizon, Position

TIMED_ROWS = 100
"""Validation rows that are asked one by one for the latency."""
STOP = ".stop"
"""A file in the study's folder: as long as it is there, trials save and end."""
_BENCHES: dict[Path, Bench] = {}
"""The bench of this process: the next trial finds rows and tokens as the last one left them."""


@dataclass(frozen=True)
class Given:
    """What a process must know to train a trial. It can travel."""

    study: Path
    spec: Path
    workspace: Path
    trial: Trial
    parent: int | None
    """The process that began it, where that is on this machine: without it, the trial saves and ends."""


def do_trial(given: Given) -> None:
    """Trains a trial in a process of its own; what it comes to is in its folder.

    Raises:
        Interrupted: somebody asked to stop, or the process that began it is gone.
    """

    def stop() -> bool:
        orphaned = given.parent is not None and os.getppid() != given.parent
        return orphaned or (given.study / STOP).exists()

    carry_trial(open_bench(given), given.trial, Narrator(), stop)


def open_bench(given: Given) -> Bench:
    """The study's bench, opened once in a process."""
    import torch

    if given.study not in _BENCHES:
        _BENCHES.clear()
        _BENCHES[given.study] = Bench.open(Run(given.study), given.spec, given.workspace)
    bench = _BENCHES[given.study]
    torch.set_num_threads(bench.threads)
    return bench


def carry_trial(bench: Bench, trial: Trial, narrator: Narrator, stop: Callable[[], bool]) -> Trial:
    """Carries a trial to its end; see `tunesmith.search.conduct.carry`."""
    shelf = Shelf(bench.run.path)
    folder = shelf.of(trial.number)
    # Whoever began it may have been killed and begun again, while the process of before saves and ends.
    with Run(folder).locked(), Events(folder / "events.jsonl") as events:
        told = Narrator(lambda event: narrator.progressing(**_passing(event)) if event["kind"] == "progress" else None)
        told.write_to(events)
        training = train(bench, trial, folder, told, stop)
        try:
            return carry(bench.asked, trial, shelf.ended(), shelf, training)
        finally:
            refused = bench.keeper.lay_out()
            if refused:
                told.say("warning", text=refused)


def _passing(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: event[key] for key in ("what", "done", "total")}


def train(bench: Bench, trial: Trial, folder: Path, narrator: Narrator, stop: Callable[[], bool]) -> Training:
    """Trains the stages that differ between trials, and says each look at the last one.

    Raises:
        OutOfMemory, NonFinite, UserError: this training cannot be done.
    """
    request, job = bench.variant(trial.params if trial.number else None)
    before = bench.first_stage
    start = str(model_folder(bench.run, job, before - 1).resolve()) if before else request.base.reference
    seconds, tokens, last = 0.0, 0, len(job.spec.train) - 1
    for number in range(before, last + 1):
        checkpoints = Checkpoints(
            folder / "checkpoints" / str(number + 1), warn=lambda s: narrator.say("warning", text=s)
        )
        made = folder / "checkpoints" / f"model-{number + 1}"
        if made.exists():  # an earlier stage, done by the process before
            said = read_json(made / "trained.json")
            start, seconds, tokens = str(made.resolve()), said["seconds"], said["tokens"]
            continue
        with _out_of_memory():
            model, steps = _begin(bench, request, job, number, start, narrator, checkpoints, stop)
        for step in _guarded(steps):
            tell_step(step, f"train-{number + 1}", narrator)
            if number == last and step.validation is not None:
                if step.best:
                    write_json(folder / "best.json", dict(step.validation))
                score = step.validation.get(bench.asked.study.aims[0].name, float("nan"))
                yield Look(step.number, score, round(seconds + step.seconds, 3), tokens + step.tokens)
            elif number < last and step.number == step.total:
                seconds, tokens = seconds + step.seconds, tokens + step.tokens
        if number < last:
            model.save(made)
            write_json(made / "trained.json", {"seconds": seconds, "tokens": tokens})
            start = str(made.resolve())
    return _values(bench, job, model, folder)


def _begin(
    bench: Bench,
    request: Request,
    job: Job,
    number: int,
    start: str,
    narrator: Narrator,
    checkpoints: Checkpoints,
    stop: Callable[[], bool],
) -> tuple[Model, Iterator[Any]]:
    encoded, validation = bench.encoded(job, number, narrator)
    order = order_of_stage(job, number, encoded)
    rows = [encoded.examples, validation.examples]
    model, objective, stage, _ = begin_stage(request, job, number, start, narrator, rows)
    if request.spec.train[number].validate_every is None and number == len(job.spec.train) - 1:
        stage = looked_at(stage, encoded.examples, order, bench.asked.rules.looks or 1)
    steps = fit(
        model,
        encoded.examples,
        objective,
        train=stage,
        order=order,
        checkpoints=checkpoints,
        validation=validation.examples,
        validate=validation_of(job, stage, model, number),
        stop=stop,
        keeper=bench.keeper,
    )
    return model, steps


def looked_at(stage: Train, examples: Sequence[Example], order: Order, looks: int) -> Train:
    """The stage measured so often, at equal distances; where time ends it, as often as was derived."""
    assert stage.duration and stage.batch, "a resolved stage"
    if stage.duration.unit == "seconds":
        return stage
    lengths = [example.num_tokens for example in examples]
    batches = Batches(lengths, batch=stage.batch, micro_batch=stage.micro_batch, seed=stage.seed, order=order)
    total = Horizon(stage.duration, batches).total(Position())
    return stage.model_copy(update={"validate_every": Every(max(1, -(-total // looks)), "steps")})


def _guarded(steps: Iterator[Any]) -> Iterator[Any]:
    """The steps; what torch says of a lack of memory is said as ours."""
    with _out_of_memory():
        yield from steps


@contextmanager
def _out_of_memory() -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "out of memory" in str(error) or "allocate memory" in str(error):
            raise OutOfMemory(f"the machine's memory does not hold it: {str(error).splitlines()[0]}") from error
        raise


def _values(bench: Bench, job: Job, model: Model, folder: Path) -> tuple[float, ...]:
    """One value an aim, of the weights that were kept."""
    path = folder / "best.json"
    if not path.exists():
        raise NonFinite("no validation came to a figure")
    figures = read_json(path)
    found = []
    for aim in bench.asked.study.aims:
        if aim.name == "latency_p95":
            found.append(_latency(job, model))
        elif aim.name == "size":
            found.append(_megabytes(model, folder / "saved"))
        else:
            found.append(float(figures.get(aim.name, float("nan"))))
    return tuple(found)


def _latency(job: Job, model: Model) -> float:
    """Milliseconds in which 95 of 100 validation rows are answered, asked one by one."""
    stage = job.spec.train[-1]
    records = job.render(stage, job.splits["validation"][:TIMED_ROWS])
    predictions = predict(
        model,
        job.codec(stage),
        records,
        manner=job.manner(stage),
        labels=job.labels,
        max_new_tokens=job.spec.evaluate.max_new_tokens or 0,
        batch=job.spec.scale.batch,
        nll=False,
        alone=len(records),
    )
    return float(LatencyP95().score(predictions).value)


def _megabytes(model: Model, folder: Path) -> float:
    """What a saved model takes on the disk: of an adapter, the adapter."""
    model.save(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    return size / 1e6
