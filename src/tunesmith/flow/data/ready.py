"""A spec that would run: its rows collected, what it measures checked, and every row made tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tunesmith.data.encode.example import Example
from tunesmith.data.passes.survey import Survey
from tunesmith.data.prepare import Collected
from tunesmith.evaluate.arms import Arm
from tunesmith.evaluate.fairness.check import check_fairness
from tunesmith.evaluate.predict import provides
from tunesmith.evaluate.verdict.targets import check_metrics, check_targets
from tunesmith.flow.data.prepare import Job, collect_job, encode_job
from tunesmith.flow.data.privacy import check_privacy
from tunesmith.flow.evaluation.check import check_measuring
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.metrics import Metric
from tunesmith.spec.sections import Spec


def make_ready(
    request: Request, narrator: Narrator, variants: Sequence[Spec] = ()
) -> tuple[Job, Collected, Sequence[Example]]:
    """Does everything a run does before it has a folder.

    Args:
        request: what is asked for.
        narrator: told what happens.
        variants: other specs for the same rows, whose columns are kept too.

    Returns:
        The job, what was found of its rows, and the examples of its training split.

    Raises:
        UserError: what would keep the run from starting.
    """
    job, collected = collect_job(request, narrator, variants)
    _check_goal(job, request, collected.survey)
    check_measuring(job, request)
    job, examples = encode_job(job, collected, narrator)
    return job, collected, examples


def _check_goal(job: Job, request: Request, survey: Survey) -> None:
    """Refuses targets and metrics that could not be measured, before anything is trained for them.

    Raises:
        SpecError: all that is wrong with them.
    """
    how, task, labels = job.manner(job.spec.train[-1]), job.spec.goal.task, job.labels or None
    metrics = cast(list[Metric], job.spec.evaluate.metrics or [])
    check_metrics(metrics, manner=how, task=task, labels=labels, where=request.written.where)
    check_targets(
        job.spec.goal.targets,
        manner=how,
        task=task,
        columns=survey.columns,
        labels=labels,
        arms=[arm.title for arm in cast(list[Arm], job.spec.evaluate.arms or []) if arm.kind != "tuned"],
        where=request.written.where,
    )
    check_privacy(job, request.written.where)
    check_fairness(
        job.spec.evaluate.fairness,
        job.spec.goal.targets,
        labels=job.labels if "label" in provides(how, task) else (),
        writes=job.objective(job.spec.train[-1]).head == "lm",
        where=request.written.where,
    )
