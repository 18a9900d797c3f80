"""What a run would take on this machine: parameters, tokens, steps, memory, time. Keeps nothing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tunesmith.data.encode.tokenize import Example
from tunesmith.flow.data.prepare import Job, collect_job, encode_job
from tunesmith.flow.environment import free_memory, use_threads
from tunesmith.flow.narrator import Listener, Narrator, silent
from tunesmith.flow.request import Request, make_request
from tunesmith.flow.training import encode_stage, open_objective, open_stage_model
from tunesmith.flow.training.settle import settle_memory, without_cache
from tunesmith.models.memory import Estimate
from tunesmith.spec.sections import Train
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.loop import fit
from tunesmith.train.order.batches import Batches
from tunesmith.train.order.horizon import Horizon, Position

TRIED_STEPS = 4
"""Real steps timed, after one that warms up."""
LONGEST_TRIAL = 30.0
"""Seconds; where the trial would take longer, time is told from arithmetic instead."""
MODEL_FLOPS_SHARE = 0.35
"""The part of its matrix-product speed that a CPU reaches over a whole training step (docs/log.md)."""


@dataclass(frozen=True)
class StagePlan:
    """What one training stage would take."""

    number: int
    objective: str
    adapter: str
    num_parameters: int
    trained_parameters: int
    rows: int
    steps: int
    epochs: float
    tokens: int
    """Tokens read over the whole stage, padding left out."""
    memory_bytes: int
    memory_parts: dict[str, int]
    free_bytes: int
    """Memory this machine has left now."""
    checkpointing: bool
    """Whether layers are computed again in the backward pass, which a step that would not fit makes up for."""
    cache: str
    """What is kept of the frozen layers' outputs for later epochs; empty where nothing is."""
    seconds: float
    seconds_basis: str
    """How the time was found."""
    flops: float

    def lines(self) -> list[tuple[str, str, str]]:
        """Name, value and basis of each figure, for people."""
        parts = ", ".join(f"{name} {_gigabytes(size)}" for name, size in self.memory_parts.items())
        again = ", layers computed again" if self.checkpointing else ""
        fits = "fits" if self.memory_bytes < self.free_bytes else "DOES NOT FIT"
        return [
            ("objective", self.objective, f"adapter {self.adapter}"),
            (
                "parameters",
                f"{self.num_parameters:,}",
                f"{self.trained_parameters:,} of them train, a head of ours aside",
            ),
            ("rows", f"{self.rows:,}", "to train on, replayed ones included"),
            ("steps", f"{self.steps:,}", f"{self.epochs:.4g} epochs"),
            ("tokens", f"{self.tokens:,}", "read in all; an early stop takes fewer"),
            ("memory", _gigabytes(self.memory_bytes), f"{fits} in {_gigabytes(self.free_bytes)} free{again}; {parts}"),
            *([("frozen layers", "computed once", self.cache)] if self.cache else []),
            ("time", _duration(self.seconds), self.seconds_basis),
            ("compute", f"{self.flops:.2e} FLOPs", ""),
        ]


@dataclass(frozen=True)
class Plan:
    """What a run would take."""

    stages: list[StagePlan]
    folds: int = 0
    """Further trainings, each on all rows but those that it is tested on."""

    @property
    def seconds(self) -> float:
        """All trainings. With k folds each sees (k-1)/k of the rows, which together with the one on all makes k."""
        return max(1, self.folds) * sum(stage.seconds for stage in self.stages)

    def lines(self) -> list[tuple[str, str, str]]:
        """What holds for the stages together, as `StagePlan.lines`; nothing where all is said there."""
        if not self.folds:
            return []
        return [("time", _duration(self.seconds), f"{self.folds} folds, and once more on all rows")]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"stages": [asdict(stage) for stage in self.stages], "folds": self.folds, "seconds": self.seconds}


def plan(spec_path: Path, changes: Sequence[str] = (), workspace: Path = Path(), *, listen: Listener = silent) -> Plan:
    """Prepares the data, counts, and times a few real steps of each stage where that is quick.

    Args:
        spec_path: the spec file.
        changes: overrides.
        workspace: the folder that holds `runs/`.
        listen: gets every event.

    Raises:
        UserError: what would keep the run from starting.
    """
    use_threads()
    narrator = Narrator(listen)
    request = make_request(spec_path, changes, workspace)
    job, collected = collect_job(request, narrator)
    job, _ = encode_job(job, collected, narrator)
    planned = [_plan_stage(request, job, number, narrator) for number in range(len(job.spec.train))]
    return Plan(planned, job.spec.evaluate.folds or 0)


def _plan_stage(request: Request, job: Job, number: int, narrator: Narrator) -> StagePlan:
    stage = job.spec.train[number]
    examples, validation, order = encode_stage(job, number, narrator)
    free = free_memory()
    settled = settle_memory(request, stage, examples, validation, free)
    stage, estimated = settled.stage, settled.estimated
    assert stage.batch and stage.duration and stage.adapter
    lengths = [example.num_tokens for example in examples]
    batches = Batches(lengths, batch=stage.batch, micro_batch=stage.micro_batch, seed=stage.seed, order=order)
    tokens_a_step = float(batches.lengths[order.rows(0, stage.seed)].sum()) / len(batches.epoch(0))
    trained_share = sum(int(example.trained.sum()) for example in examples) / sum(lengths)
    flops_a_step = tokens_a_step * (estimated.flops_per_token + trained_share * estimated.flops_per_trained_token)
    seconds_a_step, basis = _step_time(request, job, number, stage, examples, flops_a_step, estimated, free, narrator)
    horizon = Horizon(stage.duration, batches)
    timed = stage.duration.unit == "seconds"
    steps = max(1, int(stage.duration.value / seconds_a_step)) if timed else horizon.total(Position())
    later = max(0, steps - len(batches.epoch(0))) if settled.cache_bytes else 0
    work = steps - later * estimated.flops_spared * tokens_a_step / flops_a_step
    return StagePlan(
        number=number + 1,
        objective=job.objective(stage).kind,
        adapter=stage.adapter.kind,
        num_parameters=estimated.num_parameters,
        trained_parameters=estimated.num_trained,
        rows=len(job.learned(number)),
        steps=steps,
        epochs=steps / len(batches.epoch(0)),
        tokens=round(steps * tokens_a_step),
        memory_bytes=sum(settled.memory_parts.values()),
        memory_parts=settled.memory_parts,
        free_bytes=free,
        checkpointing=stage.checkpointing == "on",
        cache=settled.said,
        seconds=stage.duration.value if timed else work * seconds_a_step,
        seconds_basis="the spec gives a time" if timed else basis,
        flops=work * flops_a_step,
    )


def _step_time(
    request: Request,
    job: Job,
    number: int,
    stage: Train,
    examples: Sequence[Example],
    flops: float,
    estimated: Estimate,
    free: int,
    narrator: Narrator,
) -> tuple[float, str]:
    """Seconds of one optimizer step, and how they were found."""
    speed = _matrix_speed()
    told = flops / (speed * MODEL_FLOPS_SHARE)
    arithmetic = f"{flops:.2e} FLOPs a step at {MODEL_FLOPS_SHARE:.0%} of {speed / 1e9:,.0f} GFLOP/s measured here"
    first = number == 0
    if not first or told * (TRIED_STEPS + 1) > LONGEST_TRIAL or estimated.total_bytes > free:
        return told, arithmetic
    narrator.say("note", text=f"timing {TRIED_STEPS} steps of train-{number + 1}")
    seconds = _try(request, job, number, examples, stage)
    return seconds, f"{TRIED_STEPS} real steps timed here, validation and evaluation left out"


def _try(request: Request, job: Job, number: int, examples: Sequence[Example], stage: Train) -> float:
    model = open_stage_model(request, job, number, request.base.reference)
    with tempfile.TemporaryDirectory() as folder:
        objective = open_objective(request, job, stage, model)
        steps = fit(model, examples, objective, train=without_cache(stage), checkpoints=Checkpoints(Path(folder)))
        next(steps)
        began = time.monotonic()
        counted = sum(1 for _ in islice(steps, TRIED_STEPS))
        return (time.monotonic() - began) / counted if counted else time.monotonic() - began


def _matrix_speed() -> float:
    """FLOPs a second of a large fp32 matrix product on this machine."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    a_NN = torch.ones(1024, 1024, device=device)
    best = float("inf")
    for _ in range(4):
        began = time.perf_counter()
        (a_NN @ a_NN).sum().item()
        best = min(best, time.perf_counter() - began)
    return 2 * 1024**3 / best


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
