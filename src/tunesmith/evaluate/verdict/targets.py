"""Looks at a goal's targets before anything is trained for them: can each be measured, and be met?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, cast

from tunesmith.errors import Problem, SpecError, did_you_mean
from tunesmith.evaluate.predict import Manner, provides
from tunesmith.metrics import Metric, Need
from tunesmith.part import METRICS

if TYPE_CHECKING:
    from tunesmith.spec.sections import Target

_SAYS: dict[Need, str] = {
    "label": "labels",
    "scores": "probabilities of labels",
    "text": "written answers",
    "spans": "tagged spans",
    "nll": "likelihoods of tokens",
    "seconds": "answers that can be timed",
    "measured": "figures that others measured",
}


def check_targets(
    targets: Sequence[Target],
    *,
    manner: Manner,
    task: str | None,
    columns: Collection[str],
    labels: Collection[str] | None = None,
    arms: Collection[str] = (),
    where: Callable[[str], str] = str,
) -> None:
    """Refuses targets that no training could meet.

    Args:
        targets: of the goal.
        manner: how the tuned model will be asked.
        task: of the goal.
        columns: what rows can be sliced by.
        labels: of the data; None where they are not known yet.
        arms: what the tuned model is compared with.
        where: turns a dotted path, `goal.targets.0.metric`, into a place for people.

    Raises:
        SpecError: with every problem of every target.
    """
    problems = []
    for number, target in enumerate(targets):
        metric = cast(Metric, target.metric)
        path = f"goal.targets.{number}"
        sense = "at_least" if target.at_least is not None else "at_most"
        found = {
            "metric": _measurable(metric, manner, task) or _label_known(metric, labels),
            sense: _reachable(metric, target),
            "over": _compared(metric, target, arms),
            **{f"slice.{column}": _sliceable(column, columns) for column in target.slice},
        }
        problems += [Problem(where(f"{path}.{field}"), what) for field, what in found.items() if what]
    if problems:
        raise SpecError(problems)


def check_metrics(
    metrics: Sequence[Metric],
    *,
    manner: Manner,
    task: str | None,
    labels: Collection[str] | None = None,
    where: Callable[[str], str] = str,
) -> None:
    """Refuses metrics of `evaluate.metrics` that the tuned model's predictions cannot give.

    Args:
        metrics: as the spec lists them.
        manner, task, labels, where: as in `check_targets`.

    Raises:
        SpecError: with every problem of every metric.
    """
    found = [
        (number, _measurable(metric, manner, task) or _label_known(metric, labels))
        for number, metric in enumerate(metrics)
    ]
    problems = [Problem(where(f"evaluate.metrics.{number}"), what) for number, what in found if what]
    if problems:
        raise SpecError(problems)


def _measurable(metric: Metric, manner: Manner, task: str | None) -> str:
    if metric.rows != "test":
        return ""  # who measures those rows checks it
    missing = metric.needs - provides(manner, task) - {"measured"}
    if not missing:
        return ""
    given = provides(manner, task)
    able = [name for name in METRICS.names() if cast(Metric, METRICS.load(name)).needs <= given]
    wanted = " and ".join(_SAYS[need] for need in sorted(missing))
    return f"{metric.kind} needs {wanted}, which this task and objective do not give; use one of: {', '.join(able)}"


def _label_known(metric: Metric, labels: Collection[str] | None) -> str:
    label = getattr(metric, "label", None)
    if label is None or labels is None or label in labels:
        return ""
    return f"no label {label!r} in the data{did_you_mean(label, labels)}"


def _reachable(metric: Metric, target: Target) -> str:
    bound = target.at_least if target.at_least is not None else target.at_most
    assert bound is not None, "a target has one bound"
    if bound.unit != metric.unit:
        example = f"in {metric.unit}, for example `300 {metric.unit}`" if metric.unit else "without a unit"
        return f"{metric.kind} is measured {example}; {bound} is not"
    if target.over is not None:
        span = metric.highest - metric.lowest
        far = f"{metric.kind} differs by {span:g} at most; {bound} is more" + (
            "; write 0.05 or 5%" if span == 1 else ""
        )
        return far if abs(bound.value) >= span else ""
    reach = f"{metric.kind} runs from {metric.lowest:g} to {metric.highest:g}"
    if not metric.lowest <= bound.value <= metric.highest:
        return f"{reach}; {bound} is outside" + ("; write 0.9 or 90%" if metric.highest == 1 else "")
    if metric.highest == 100 and 0 < bound.value < 1:
        return f"{reach}; did you mean {bound.value * 100:g}?"
    if bound.value == (metric.highest if target.at_least is not None else metric.lowest):
        return f"{reach}, and no number of test rows can show that it is never off {bound}; leave it some room"
    return ""


def _compared(metric: Metric, target: Target, arms: Collection[str]) -> str:
    if target.over is None:
        return ""
    if metric.rows != "test":
        return f"{metric.kind} is not measured on the test rows, and arms are compared on those; leave it out"
    if target.over in arms:
        return ""
    known = f"; there are {', '.join(arms)}" if arms else "; there are none"
    return f"no arm {target.over!r} in evaluate.arms{did_you_mean(target.over, arms)}{known}"


def _sliceable(column: str, columns: Collection[str]) -> str:
    if column in columns:
        return ""
    known = f"; there are {', '.join(sorted(columns))}" if columns else "; the rows have none to slice by"
    return f"no column {column!r}{did_you_mean(column, columns)}{known}"
