"""What was found before a stage, as the training takes it over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tunesmith.flow.data.prepare import Job
from tunesmith.runs import Run, read_json
from tunesmith.spec.quantity import Batch


def found_file(run: Run, number: int) -> Path:
    """Where what was found before stage `number` (from 0) lies."""
    return run / "find" / str(number + 1) / "found.json"


def with_found(run: Run, job: Job, number: int) -> Job:
    """The job with what was found for stage `number` in place of what was derived."""
    if not job.spec.find:
        return job
    found, stages = read_json(found_file(run, number)), list(job.spec.train)
    stage = stages[number]
    if (lr := found["rate"].get("lr")) is not None:
        assert stage.optimizer
        stage = stage.model_copy(update={"optimizer": stage.optimizer.model_copy(update={"lr": lr})})
    if (at_once := found["batch"].get("micro_batch")) is not None:
        stage = stage.model_copy(update={"micro_batch": Batch.parse(at_once)})
    stages[number] = stage
    spec = job.spec.model_copy(update={"train": stages})
    return replace(job, resolved=replace(job.resolved, spec=spec))
