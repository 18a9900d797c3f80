"""The verdict: is the tuned model what the goal asked for, as far as the test rows can tell?

A target is

    met         when its value keeps the bound and so does the one-sided confidence limit towards it:
                were the truth beyond the bound, such figures would come by chance in at most 5 of 100
                tests (at a confidence of 0.95);
    missed      when its value breaks the bound and so does the limit: the same certainty that it is not met;
    undecided   otherwise. The rows are too few, and it says about how many more would settle it should the
                value stay what it is.

SHIP when every target is met. DON'T SHIP when one is missed or undecided, for what was not shown is not
promised, and when what costs less than tuning is better (`caveats.weigh`). As all targets must be met,
testing several needs no correction (an intersection-union test). Without targets there is nothing to
decide, and the verdict says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from tunesmith.evaluate.comparison import finite
from tunesmith.evaluate.verdict.measures import Measure, in_folds, on_rows, said_rows
from tunesmith.metrics import Metric, Rows
from tunesmith.records import Plain, Prediction

if TYPE_CHECKING:
    from tunesmith.spec.quantity import Bound
    from tunesmith.spec.sections import Target

Decision = Literal["SHIP", "DON'T SHIP", "NO TARGETS"]
Outcome = Literal["met", "missed", "undecided"]
Sense = Literal["at_least", "at_most"]

_ORDER: dict[Outcome, int] = {"missed": 0, "undecided": 1, "met": 2}


@dataclass(frozen=True)
class TargetResult:
    """How one target came out."""

    metric: str
    slice: dict[str, str]
    over: str | None
    """The arm it is to be ahead of; None where the value itself counts."""
    sense: Sense
    bound: float
    unit: str
    value: float | None
    """None where there was nothing to measure."""
    limit: float | None
    """The one-sided confidence limit of the value towards the bound; None where the rows allow none."""
    num_rows: int
    """Rows that had something to measure."""
    outcome: Outcome
    more_rows: int | None
    """About how many further test rows would settle it; None where it is settled or no number would."""
    why: str
    change: str = ""
    """What would change the outcome, in a sentence."""

    @property
    def title(self) -> str:
        """The target in words: `f1_macro on channel=email at least 0.85`."""
        over = f" over {self.over}" if self.over else ""
        where = f" on {_named(self.slice)}" if self.slice else ""
        return f"{self.metric}{over}{where} {self.sense.replace('_', ' ')} {said_figure(self.bound, self.unit)}"

    @property
    def strength(self) -> float:
        """How far the value is on the right side of the bound, in widths of its uncertainty."""
        if self.value is None or self.limit is None:
            return -math.inf
        ahead = (self.value - self.bound) * (1 if self.sense == "at_least" else -1)
        width = abs(self.value - self.limit)
        return ahead / width if width else math.copysign(math.inf, ahead)


@dataclass(frozen=True)
class Warned:
    """Something that a reader must know before trusting the decision."""

    kind: Literal["contamination", "unsought", "simpler", "loss", "noise", "slice", "forgetting"]
    text: str
    blocks: bool = False
    """Whether it alone forbids to ship."""


@dataclass(frozen=True)
class Verdict(Plain):
    """What the goal's targets come to."""

    decision: Decision
    reason: str
    """One sentence that names the target that decided, and its number."""
    confidence: float
    deciding: int | None
    """Which of `targets` decided; None where there are none, or where a warning did."""
    targets: list[TargetResult]
    warnings: list[Warned] = field(default_factory=list)
    """The gravest first."""

    @property
    def exit_code(self) -> int:
        """What a command that ends in this verdict returns."""
        return 3 if self.decision == "DON'T SHIP" else 0

    def lines(self) -> list[str]:
        """For a terminal: the decision and why, then one line a target."""
        width = max((len(target.title) for target in self.targets), default=0)
        return [
            f"{self.decision}: {self.reason}",
            *(f"  warning: {warning.text}" for warning in self.warnings),
            *(f"  {target.outcome:<9}  {target.title:<{width}}  {target.why}" for target in self.targets),
        ]


def judge(
    targets: Sequence[Target],
    predictions: Sequence[Prediction],
    *,
    task: str | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    folds: Sequence[Sequence[Prediction]] | None = None,
    arms: Mapping[str, Sequence[Prediction]] | None = None,
    beside: Mapping[Rows, Sequence[Prediction]] | None = None,
    doubts: Mapping[str, str] | None = None,
) -> Verdict:
    """Holds predictions against targets.

    Args:
        targets: of the goal, checked by `check_targets`.
        predictions: of the tuned model on the test rows.
        task: of the goal, for metrics that go by it.
        confidence: of the one-sided limits, above 0.5.
        resamples: bootstrap samples behind each limit.
        seed: draws them.
        folds: the predictions by fold, where each fold's rows were predicted by a model of its own.
        arms: arm -> its predictions of the same rows, for targets that name one to be ahead of.
        beside: what the tuned model did on other rows than the test rows, for metrics that are about those.
        doubts: name of a metric -> why no target can rest on it, whatever its value: such targets stay undecided.
    """
    on_test = on_rows(predictions, confidence, resamples, seed, arms or {})
    measures: dict[Rows, Measure] = {"test": in_folds(folds, on_test, confidence) if folds else on_test}
    for kind, rows in (beside or {}).items():
        measures[kind] = on_rows(rows, confidence, resamples, seed, {})
    found = [_judge_one(target, measures, task, confidence, doubts or {}) for target in targets]
    return decide(found, confidence)


def decide(found: list[TargetResult], confidence: float) -> Verdict:
    """What targets come to together.

    Args:
        found: how each came out.
        confidence: that they were judged with.
    """
    if not found:
        return Verdict("NO TARGETS", "the goal names no targets, so there is nothing to decide", confidence, None, [])
    deciding = min(range(len(found)), key=lambda number: (_ORDER[found[number].outcome], found[number].strength))
    target = found[deciding]
    if target.outcome == "met":
        all_met = "" if len(found) == 1 else f"all {len(found)} targets are met; the closest is "
        return Verdict("SHIP", f"{all_met}{target.title}: {target.why}", confidence, deciding, found)
    return Verdict("DON'T SHIP", f"{target.title} is {target.outcome}: {target.why}", confidence, deciding, found)


def _judge_one(
    target: Target,
    measures: Mapping[Rows, Measure],
    task: str | None,
    confidence: float,
    doubts: Mapping[str, str],
) -> TargetResult:
    metric = cast("Metric", target.metric).for_task(task)
    if metric.rows not in measures:
        return _result(target, metric, "undecided", _MISSING[metric.rows])
    found = measures[metric.rows](metric, target.slice, target.over)
    if metric.rows == "review" and (found is None or not math.isfinite(found.value)):
        return _result(target, metric, "undecided", _MISSING["review"])
    doubt = doubts.get(metric.name)
    if found is None:
        why = f"no {metric.rows} row has {_named(target.slice)}" if target.slice else _MISSING[metric.rows]
        return _result(target, metric, "undecided", doubt or why)
    value, interval, num_rows, how, rows_to_settle = found
    if not math.isfinite(value):
        why = doubt or f"{said_rows(num_rows)} give {metric.kind} nothing to measure"
        return _result(target, metric, "undecided", why)
    bound, sense = _bound(target), _sense(target)

    def keeps(figure: float) -> bool:
        return figure >= bound.value if sense == "at_least" else figure <= bound.value

    # What faces the bound: the lower limit of a value above it, the upper limit of one below.
    above = keeps(value) == (sense == "at_least")
    limit = None if interval is None else finite(interval[0] if above else interval[1])
    said = _said(value, limit, above, how, bound.unit, confidence)
    if doubt:
        return _result(target, metric, "undecided", f"{said}; {doubt}", value, limit, num_rows)
    if limit is not None and keeps(limit) == keeps(value):
        return _result(target, metric, "met" if keeps(value) else "missed", said, value, limit, num_rows)
    needed = rows_to_settle(math.nan if limit is None else limit, bound.value)
    more = max(1, math.ceil(needed) - num_rows) if math.isfinite(needed) else None
    hint = "no number of rows is sure to settle it" if more is None else f"about {more:,} more would settle it"
    return _result(target, metric, "undecided", f"{said}; {hint}", value, limit, num_rows, more)


_MISSING: dict[Rows, str] = {
    "test": "there are no test rows",
    "retention": "no abilities were measured before and after",
    "review": "no review of this run yet; tunesmith review new RUN",
    "robustness": "no rows were changed and asked again",
    "privacy": "privacy was not measured",
    "counterfactual": "no test row has terms of identity to swap",
    "stereotypes": "no stereotype suite was asked",
    "without_words": "no row was asked again without a word",
}
"""Why a target is undecided where the rows it is about are not there."""


def _result(
    target: Target,
    metric: Metric,
    outcome: Outcome,
    why: str,
    value: float | None = None,
    limit: float | None = None,
    num_rows: int = 0,
    more_rows: int | None = None,
) -> TargetResult:
    bound = _bound(target)
    return TargetResult(
        metric=metric.name,
        slice=dict(target.slice),
        over=target.over,
        sense=_sense(target),
        bound=bound.value,
        unit=bound.unit,
        value=value,
        limit=limit,
        num_rows=num_rows,
        outcome=outcome,
        more_rows=more_rows,
        why=why,
    )


def _bound(target: Target) -> Bound:
    bound = target.at_least if target.at_least is not None else target.at_most
    assert bound is not None, "a target has one bound"
    return bound


def _sense(target: Target) -> Sense:
    return "at_least" if target.at_least is not None else "at_most"


def _said(value: float, limit: float | None, above: bool, how: str, unit: str, confidence: float) -> str:
    on = f"{said_figure(value, unit)} {how}"
    if limit is None:
        return f"{on}, too few for a limit {'below' if above else 'above'} it with {confidence:.0%} confidence"
    return f"{on}, at {'least' if above else 'most'} {said_figure(limit, unit)} with {confidence:.0%} confidence"


def said_figure(value: float, unit: str) -> str:
    """A value as reasons say it."""
    return f"{value:.4g} {unit}".strip()


def _named(slice_: Mapping[str, str]) -> str:
    return " and ".join(f"{column}={value}" for column, value in slice_.items())
