"""What each way of answering comes to on some validation rows: prompting, examples, retrieval, counting, tuning.

The rows are those of the validation split: an advice that had seen the test rows would spoil the verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from tunesmith.errors import UserError
from tunesmith.evaluate.arms import Arm
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.comparison import Comparison
from tunesmith.evaluate.statistics.drawn import drawn
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.data.workshop import RememberingModels
from tunesmith.flow.evaluation import metrics_of
from tunesmith.flow.evaluation.bench import Bench
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.plan.tries import Tried, short_training
from tunesmith.flow.request import Request
from tunesmith.part import ARMS
from tunesmith.records import Prediction
from tunesmith.runs import Run

ROWS = 150
"""Validation rows that every arm answers."""
EXAMPLES = 4
"""Training rows shown before a question."""
TUNED, BOTH = "tuned", "tuned + retrieval"
ASKED = {
    "prompt": {"kind": "base"},
    "few_shot": {"kind": "few_shot", "examples": EXAMPLES, "choose": "random"},
    "retrieval": {"kind": "few_shot", "examples": EXAMPLES, "choose": "similar"},
    "linear": {"kind": "linear"},
    "majority": {"kind": "majority"},
    BOTH: {"kind": "few_shot", "examples": EXAMPLES, "choose": "similar", "model": "tuned"},
    TUNED: {"kind": "tuned"},
}


@dataclass(frozen=True)
class Answers:
    """What arms said, and why some said nothing."""

    made: dict[str, list[Prediction]]
    """By arm; the tuned one last."""
    refused: dict[str, str]
    tried: Tried
    seconds_alone: bool
    """Whether rows were asked one at a time, so that latency can be told."""


@contextmanager
def _tuned(request: Request, job: Job, steps: int, narrator: Narrator) -> Iterator[tuple[Tried, Run]]:
    """A short training whose model lies where a run would have it."""
    with TemporaryDirectory() as folder, short_training(request, job, steps, narrator) as (tried, model):
        run = Run(Path(folder) / "1")
        model.save(run / "model", task=job.spec.goal.task)
        yield tried, run


def ask_arms(request: Request, job: Job, steps: int, narrator: Narrator) -> Answers:
    """Tunes for some steps, then has every arm answer the same validation rows."""
    rows = list(drawn(job.splits["validation"], ROWS, job.spec.data.split.seed))
    models = RememberingModels(request, job.tokenizer)
    metrics = [bound for each in metrics_of(job) if (bound := each.bind(models)).rows == "test" and bound.draws is None]
    of_labels = bool(job.labels) and job.spec.goal.task == "classify"
    made: dict[str, list[Prediction]] = {}
    refused: dict[str, str] = {}
    with _tuned(request, job, steps, narrator) as (tried, run):
        bench = Bench(run, request, job, rows, metrics, narrator, lambda: False)
        bench.validation = job.splits["validation"][:0]  # nothing may be chosen on the rows that are measured
        for name, asked in ASKED.items():
            arm = cast(Arm, ARMS.make(asked))
            if arm.of_labels and not of_labels:
                continue
            bench.arm = name
            try:
                made[name] = arm.answer(bench)
            except UserError as error:
                refused[name] = error.what
        alone = bool(bench.alone)
    return Answers(made, refused, tried, alone)


def compared(job: Job, arms: Mapping[str, Sequence[Prediction]]) -> Comparison:
    """Every arm, and the last against each of the others, on the same rows."""
    metrics = [metric for metric in metrics_of(job) if metric.rows == "test" and metric.draws is None]
    settings = job.spec.evaluate
    return compare(
        arms,
        metrics,
        task=job.spec.goal.task,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=job.spec.data.split.seed,
    )
