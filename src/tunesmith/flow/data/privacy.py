"""Whether attacks on privacy can be tried on a run's model at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from tunesmith.data.methods.canaries import STEP
from tunesmith.errors import Problem, SpecError
from tunesmith.metrics import Metric
from tunesmith.spec.sections import Spec

if TYPE_CHECKING:
    from tunesmith.flow.data.prepare import Job

NO_HELD_OUT = "no row was held out from the model that ships, so training rows have nothing to be told from"


def check_privacy(job: Job, where: Callable[[str], str]) -> None:
    """Refuses targets that attacks on this model cannot measure, and promises that cannot be kept, before any training.

    Args:
        job: resolved.
        where: turns a dotted path into a place for people.

    Raises:
        SpecError: with every problem.
        MissingDependency: a private training is asked for and Opacus is not installed.
        GateFailed: its batches are larger than the data.
    """
    for stage in job.spec.train:
        if stage.regularize.private:
            from tunesmith.train.weights.private import needs_opacus, rate_of

            needs_opacus()
            rate_of(stage, len(job.splits["train"]))
    found = [
        Problem(where(f"goal.targets.{number}.metric"), what)
        for number, target in enumerate(job.spec.goal.targets)
        if (what := _cannot(cast(Metric, target.metric), job))
    ]
    if found:
        raise SpecError(found)


def _cannot(metric: Metric, job: Job) -> str:
    writes = job.objective(job.spec.train[-1]).head == "lm"
    if metric.kind in ("membership_auc", "membership_tpr"):
        if not len(job.splits["test"]):
            return f"{metric.kind} cannot be measured: {NO_HELD_OUT}"
        if getattr(metric, "attack", "") == "calibrated" and not writes:
            return "the base has no loss on labels to calibrate by; write `attack: loss`"
    if metric.kind == "extraction_rate" and not writes:
        return "a head gives labels and recites nothing; leave extraction_rate out"
    if metric.kind == "exposure" and not plants(job.spec):
        return f"there are no canaries to be exposed; add `{STEP}` to data.steps"
    return ""


def plants(spec: Spec) -> bool:
    """Whether canaries are planted."""
    return any(step.kind == STEP for step in spec.data.steps or ())
