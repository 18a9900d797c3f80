"""Refuses judges, abilities and changes that could not be measured, before anything is trained for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from tunesmith.errors import Problem, SpecError, did_you_mean
from tunesmith.evaluate.predict import provides
from tunesmith.evaluate.robustness.measure import why_no_scores
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.evaluation import arms_of
from tunesmith.flow.evaluation.abilities import suites_of
from tunesmith.flow.evaluation.judging import ratings_file
from tunesmith.flow.evaluation.robustness import questions_of, scoring_metric
from tunesmith.flow.request import Request
from tunesmith.judges import Judge
from tunesmith.metrics import Metric
from tunesmith.metrics.judged import Judged
from tunesmith.metrics.retention import Retention
from tunesmith.metrics.robustness import Robustness
from tunesmith.metrics.shortcut import Shortcut
from tunesmith.spec.sections import ability_of


def check_measuring(job: Job, request: Request) -> None:
    """Looks at `evaluate.judges`, `.retention`, `.robustness`, `.explain` and all metrics that rest on them.

    Raises:
        SpecError: with every problem.
        DataError: a suite, a file of ratings or one of questions cannot be used.
    """
    found = [*_judges(job), *_named(job), *_abilities(job), *_changes(job), *_reasons(job)]
    if found:
        raise SpecError([Problem(request.written.where(path), what) for path, what in found])
    suites_of(job.spec, request.folder)
    if (asked := job.spec.evaluate.robustness) is not None:
        questions_of(asked, request.folder)
    for judge in cast(list[Judge], job.spec.evaluate.judges):
        ratings_file(judge, request.folder)


def _judges(job: Job) -> Iterator[tuple[str, str]]:
    settings = job.spec.evaluate
    for number, judge in enumerate(cast(list[Judge], settings.judges)):
        path = f"evaluate.judges.{number}"
        if "text" not in provides(job.manner(job.spec.train[-1]), job.spec.goal.task):
            yield path, "a judge reads written answers, which this task and objective do not give; leave it out"
        against = getattr(judge, "against", "expected")
        arms = [arm.title for arm in arms_of(job) if arm.kind != "tuned"]
        if against not in ("expected", *arms):
            known = ", ".join(["expected", *arms])
            yield f"{path}.against", f"no arm {against!r}{did_you_mean(against, arms)}; use one of: {known}"


def _named(job: Job) -> Iterator[tuple[str, str]]:
    """Problems of metrics that name a judge or an ability."""
    for number, target in enumerate(job.spec.goal.targets):
        path, metric = f"goal.targets.{number}", cast(Metric, target.metric)
        yield from _of_metric(f"{path}.metric", metric, job)
        if metric.rows == "retention" and target.slice:
            yield f"{path}.slice", "items of abilities have no columns of the data; name an `ability` of the metric"
        judge = _judges_by_name(job).get(metric.judge) if isinstance(metric, Judged) else None
        if judge is not None and judge.compares and target.over is not None:
            yield f"{path}.over", f"{judge.called} compares answers already; leave it out, 0.5 is a tie"
    for number, listed in enumerate(cast(list[Metric], job.spec.evaluate.metrics or [])):
        yield from _of_metric(f"evaluate.metrics.{number}", listed, job)


def _of_metric(path: str, metric: Metric, job: Job) -> Iterator[tuple[str, str]]:
    judges, abilities = _judges_by_name(job), _abilities_named(job)
    if isinstance(metric, Judged):
        judge = judges.get(metric.judge)
        if judge is None:
            known = f"; there are {', '.join(judges)}" if judges else "; name one in evaluate.judges"
            yield f"{path}.judge", f"no judge {metric.judge!r}{did_you_mean(metric.judge, judges)}{known}"
        elif metric.criterion not in judge.criteria:
            near = did_you_mean(metric.criterion, judge.criteria)
            yield (
                f"{path}.criterion",
                f"{metric.judge} has no criterion {metric.criterion!r}{near}; it has {', '.join(judge.criteria)}",
            )
    if isinstance(metric, Retention) and metric.ability not in (None, *abilities):
        near = did_you_mean(str(metric.ability), abilities)
        yield f"{path}.ability", f"no ability {metric.ability!r}{near}; measured are {', '.join(abilities)}"
    asked = job.spec.evaluate.robustness
    if isinstance(metric, Robustness) and asked is not None and metric.change not in asked.kinds:
        yield f"{path}.change", f"{metric.change} is not among evaluate.robustness.kinds: {', '.join(asked.kinds)}"


def _judges_by_name(job: Job) -> dict[str, Judge]:
    return {judge.called: judge for judge in cast(list[Judge], job.spec.evaluate.judges)}


def _abilities_named(job: Job) -> list[str]:
    asked = job.spec.evaluate.retention
    return [ability_of(source) for source in asked.sources] if asked else []


def _abilities(job: Job) -> Iterator[tuple[str, str]]:
    """A model with a head of ours says nothing, and so has no abilities to compare."""
    head = job.objective(job.spec.train[-1]).head
    if job.spec.evaluate.retention is None or head == "lm":
        return
    written = [
        f"goal.targets.{number}.metric"
        for number, target in enumerate(job.spec.goal.targets)
        if isinstance(target.metric, Retention)
    ]
    yield (
        written[0] if written else "evaluate.retention",
        f"a model with a {head} head answers nothing, so what it has kept cannot be measured; learn by sft, or leave "
        "retention out",
    )


def _changes(job: Job) -> Iterator[tuple[str, str]]:
    """Rows can be changed where something is asked in them, and answers compared where they can be scored."""
    asked, how = job.spec.evaluate.robustness, job.manner(job.spec.train[-1])
    if asked is None:
        return
    path = "evaluate.robustness"
    if job.spec.evaluate.folds:
        yield path, "the model that ships learned from all rows of the folds, so none is left to change; split instead"
    if how == "prose":
        yield path, "nothing is asked in prose, so there is nothing to change; leave it out"
        return
    if how == "tag" and "out_of_scope" in asked.kinds:
        yield f"{path}.kinds", "a model that tags has no questions out of its scope; leave out_of_scope out"
    metric = scoring_metric(job.spec)
    if metric is None:
        yield path, "no metric of evaluate.metrics scores single answers; name one, `metric: token_f1`"
    elif why := why_no_scores(metric):
        yield f"{path}.metric", why
    elif missing := metric.needs - provides(how, job.spec.goal.task):
        yield f"{path}.metric", f"{metric.kind} needs {', '.join(sorted(missing))}, which this task does not give"


def _reasons(job: Job) -> Iterator[tuple[str, str]]:
    """Answers can be explained where something is asked, and words left out where answers are labels."""
    stage, task = job.spec.train[-1], job.spec.goal.task
    if job.spec.evaluate.explain is None:
        return
    how, path = job.manner(stage), "evaluate.explain"
    if job.spec.evaluate.folds:
        yield path, "the model that ships learned from all rows of the folds, so none is left to explain; split instead"
    if how in ("prose", "tag"):
        what = "nothing is asked in prose" if how == "prose" else "a model that tags gives no answer to a whole row"
        yield path, f"{what}, so there is nothing to explain; leave it out"
    elif "label" not in provides(how, task):
        for number, target in enumerate(job.spec.goal.targets):
            if isinstance(target.metric, Shortcut):
                why = "a shortcut shows where answers are labels, and any word may change an answer in words"
                yield f"goal.targets.{number}.metric", f"{why}; leave it out"
