"""What a run would take on this machine: parameters, tokens, steps, memory, time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.data.encode.tokenize import Example
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.data.ready import make_ready
from tunesmith.flow.environment import free_memory, on_gpu, use_threads
from tunesmith.flow.launch.budget import Outlay, outlay
from tunesmith.flow.narrator import Listener, Narrator, silent
from tunesmith.flow.plan.trial import STEPS, Trial, try_steps
from tunesmith.flow.plan.words import dollars, gigabytes
from tunesmith.flow.plan.work import Work, batches_of, work_of
from tunesmith.flow.request import Request, make_request
from tunesmith.flow.training import encode_stage
from tunesmith.flow.training.settle import Settled, settle_memory
from tunesmith.report.format import duration
from tunesmith.train.order.batches import Batches

LONGEST_TRIAL = 30.0
"""Seconds of the processor; where the trial would take longer, time is told from arithmetic instead."""
KERNEL_BYTES = 66_000_000
"""What a run holds beyond its trial: oneDNN makes kernels for each new length, and keeps 64 (`cli.app`). The difference
was 65 to 70 MB in two runs of the bundled base (full, LoRA), where it was then set; other shapes are not measured."""
FEWEST_STEPS = 3
"""Of a trial; fewer would say nothing."""
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
    validations: int
    """How often the validation rows are measured."""
    tokens: int
    """Tokens read over the whole stage, padding left out."""
    memory_bytes: int
    memory_parts: dict[str, int]
    """By formula; where memory was measured they need not add up to it."""
    memory_basis: str
    """How the memory was found."""
    free_bytes: int
    """Memory this machine has left now."""
    checkpointing: bool
    """Whether layers are computed again in the backward pass, which a step that would not fit makes up for."""
    cache: str
    """What is kept of the frozen layers' outputs for later epochs; empty where nothing is."""
    seconds: float
    processor_seconds: float | None
    """Of these, those in which the processor computes; None where no step was timed."""
    seconds_basis: str
    """How the time was found."""
    flops: float

    def lines(self) -> list[tuple[str, str, str]]:
        """Name, value and basis of each figure, for people."""
        parts = ", ".join(f"{name} {gigabytes(size)}" for name, size in self.memory_parts.items())
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
            ("steps", f"{self.steps:,}", f"{self.epochs:.4g} epochs, validated {self.validations:,} times"),
            ("tokens", f"{self.tokens:,}", "read in all; an early stop takes fewer"),
            ("memory", gigabytes(self.memory_bytes), f"{fits} in {gigabytes(self.free_bytes)} free{again}"),
            ("", "", self.memory_basis),
            ("", "", f"by formula: {parts}"),
            *([("frozen layers", "computed once", self.cache)] if self.cache else []),
            ("time", duration(self.seconds), self.seconds_basis),
            ("compute", f"{self.flops:.2e} FLOPs", ""),
        ]


@dataclass(frozen=True)
class Plan:
    """What a run would take."""

    stages: list[StagePlan]
    folds: int = 0
    """Further trainings, each on all rows but those that it is tested on."""
    outlay: Outlay | None = None
    """What the trainings cost, where the spec says what an hour costs or what may be spent."""

    @property
    def seconds(self) -> float:
        """All trainings. With k folds each sees (k-1)/k of the rows, which together with the one on all makes k."""
        return max(1, self.folds) * sum(stage.seconds for stage in self.stages)

    def lines(self) -> list[tuple[str, str, str]]:
        """What holds for the stages together, as `StagePlan.lines`; nothing where all is said there."""
        found = []
        if self.folds:
            found.append(("time", duration(self.seconds), f"{self.folds} folds, and once more on all rows"))
        if self.outlay is not None:
            usd = self.outlay.usd
            found.append(("cost", duration(self.seconds) if usd is None else dollars(usd), self.outlay.said))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"seconds": self.seconds}


def plan(spec_path: Path, changes: Sequence[str] = (), workspace: Path = Path(), *, listen: Listener = silent) -> Plan:
    """Prepares the data, counts, and tries a few real steps where that is quick.

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
    job, _, _ = make_ready(request, narrator)
    planned, trial = [], None
    for number in range(len(job.spec.train)):
        stage, trial = plan_stage(request, job, number, narrator, trial)
        planned.append(stage)
    found = Plan(planned, job.spec.evaluate.folds or 0)
    return replace(found, outlay=outlay(found.seconds, job.spec.scale, workspace))


def plan_stage(
    request: Request, job: Job, number: int, narrator: Narrator, earlier: Trial | None = None
) -> tuple[StagePlan, Trial | None]:
    """What stage `number` would take, and the trial it rests on; that of an `earlier` stage where there is one."""
    began, busy = time.monotonic(), time.process_time()
    examples, validation, order = encode_stage(job, number, narrator)
    free = free_memory()
    settled = settle_memory(request, job.spec.train[number], examples, validation, free)
    before = (time.monotonic() - began, time.process_time() - busy)
    stage, found = settled.stage, settled.estimated
    assert stage.duration and stage.adapter
    batches = batches_of(stage, examples, order)
    work = work_of(stage, examples, batches, found, cached=bool(settled.cache_bytes))
    speed = matrix_speed()
    told = work.flops / work.steps / (speed * MODEL_FLOPS_SHARE)
    trial = _trial(request, job, number, settled, examples, validation, batches, told, free, narrator) or earlier
    timed = stage.duration.unit == "seconds"
    if timed:
        pace = trial.pace(work.flops / work.steps) if trial else told
        steps = max(1, int(stage.duration.value / pace))
        work = work_of(stage, examples, batches, found, cached=bool(settled.cache_bytes), steps=steps)
    seconds, basis = _time(work, trial, own=trial is not earlier, told=told, speed=speed, before=before[0])
    memory, memory_basis = _memory(settled, work, trial if trial is not earlier else None)
    return StagePlan(
        number=number + 1,
        objective=job.objective(stage).kind,
        adapter=stage.adapter.kind,
        num_parameters=found.num_parameters,
        trained_parameters=found.num_trained,
        rows=len(job.learned(number)),
        steps=work.steps,
        epochs=work.epochs,
        validations=work.validations,
        tokens=round(work.tokens),
        memory_bytes=memory,
        memory_parts=settled.memory_parts,
        memory_basis=memory_basis,
        free_bytes=free,
        checkpointing=stage.checkpointing == "on",
        cache=settled.said,
        seconds=stage.duration.value if timed else seconds,
        processor_seconds=None if trial is None or timed else before[1] + trial.seconds(work) / trial.stretch,
        seconds_basis="the spec gives a time" if timed else basis,
        flops=work.flops,
    ), trial


def _time(work: Work, trial: Trial | None, *, own: bool, told: float, speed: float, before: float) -> tuple[float, str]:
    """The clock's time of a stage, what goes before its model is opened included, and what it rests on."""
    if trial is None:
        share = f"{MODEL_FLOPS_SHARE:.0%} of {speed / 1e9:,.0f} GFLOP/s measured here"
        return before + work.steps * told, f"{work.flops:.2e} FLOPs at {share}; validations left out"
    whose = "" if own else "of an earlier stage "
    return before + trial.seconds(work), (
        f"{trial.steps} real steps {whose}of all lengths, a validation and a checkpoint timed here; opening, "
        f"{work.validations:,} validations and saving included, the evaluation not"
    )


def _memory(settled: Settled, work: Work, trial: Trial | None) -> tuple[int, str]:
    """The most memory of a stage, and what it rests on."""
    if trial is None or trial.peak_bytes is None:
        return sum(settled.memory_parts.values()), "by formula, from shapes alone"
    cache = settled.memory_parts["cache"]
    kernels = 0 if on_gpu() or work.steps <= 2 * trial.steps else KERNEL_BYTES
    more = f", {gigabytes(kernels)} for kernels of further lengths" if kernels else ""
    more += ", and what is kept of the frozen layers" if cache else ""
    basis = f"the most this process held while it learned and validated its longest rows{more}"
    return trial.peak_bytes + cache + kernels, basis


def _trial(
    request: Request,
    job: Job,
    number: int,
    settled: Settled,
    examples: Sequence[Example],
    validation: Sequence[Example],
    batches: Batches,
    told: float,
    free: int,
    narrator: Narrator,
) -> Trial | None:
    """Real steps of a stage; None where they would take long or do not fit, or the stage starts from an earlier one."""
    count = next((steps for steps in (STEPS, FEWEST_STEPS) if told * steps <= LONGEST_TRIAL), None)
    if number or count is None or settled.estimated.total_bytes > free:
        return None
    narrator.say("note", text=f"trying {count} steps of train-{number + 1}")
    return try_steps(request, job, number, settled.stage, examples, validation, batches, settled.estimated, count)


def matrix_speed() -> float:
    """FLOPs a second of a large fp32 matrix product on this machine; on a CPU by its own time, which others' work does
    not stretch."""
    import torch

    device = "cuda" if on_gpu() else "cpu"
    clock, at_once = (time.perf_counter, 1) if on_gpu() else (time.process_time, torch.get_num_threads())
    a_NN = torch.ones(1024, 1024, device=device)
    best = float("inf")
    for _ in range(4):
        began = clock()
        (a_NN @ a_NN).sum().item()
        best = min(best, clock() - began)
    return 2 * 1024**3 / (best / at_once)
