"""What changes do to the answers, paired with what the same model said of the same rows as they were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.comparison import Difference, Estimate, closed, finite
from tunesmith.evaluate.robustness.changes import Changed
from tunesmith.evaluate.statistics.resample import draw
from tunesmith.evaluate.statistics.significance import family, meaning
from tunesmith.metrics import Metric
from tunesmith.metrics._intervals import wilson
from tunesmith.metrics._labels import JOINER
from tunesmith.metrics.refusal_rate import RefusalRate
from tunesmith.metrics.robustness import Robustness, measure_names
from tunesmith.records import Plain, Prediction
from tunesmith.spec.rooms.robustness import Change

FEWEST_RIGHT = 10
"""Rows' worth of score before the change, below which nothing can be said of what is kept."""
UNSURE = 0.05
"""Share of the clean rows that the model is less sure of than the border below which it counts as not answering."""
FLIPS = 3
"""Rows shown of each change."""


@dataclass(frozen=True)
class Flip:
    """A row that the change made worse."""

    id: str
    before: str
    after: str
    expected: str
    said_before: str
    said_after: str


@dataclass(frozen=True)
class ArmResult:
    """What a change does to one model's answers."""

    before: Estimate
    after: Estimate
    difference: Difference
    """After less before, paired; corrected for all changes that were looked at."""
    kept: Estimate
    """The metric `robustness`."""
    obeyed: Estimate | None = None
    """Of an injected order, the share of rows that now say what it asks for and did not before."""
    flips: list[Flip] = field(default_factory=list)


@dataclass(frozen=True)
class ChangeResult:
    """What one change does."""

    change: str
    num_rows: int
    """Rows that it changes."""
    unchanged: int
    """Rows that it leaves as they are."""
    arms: dict[str, ArmResult]
    doubt: str = ""
    """Why nothing can be said of what the tuned model keeps; empty where something can."""


@dataclass(frozen=True)
class OutOfScope:
    """Questions that are none of the model's business."""

    num_rows: int
    how: str
    """How it is seen that a model does not answer."""
    arms: dict[str, Estimate]
    """Share that is not answered."""


@dataclass(frozen=True)
class RobustnessResult(Plain):
    """What a run found, as `evaluation/robustness.json` holds it."""

    metric: str
    unit: str
    better: str
    confidence: float
    changes: list[ChangeResult]
    out_of_scope: OutOfScope | None

    def worse(self) -> list[ChangeResult]:
        """Changes that surely make the tuned model's answers worse, the worst first."""
        found = [
            each
            for each in self.changes
            if "tuned" in each.arms and meaning(each.arms["tuned"].difference, self.better, self.confidence) == "worse"
        ]
        return sorted(found, key=lambda each: each.arms["tuned"].difference.value or 0.0)

    def doubts(self) -> dict[str, str]:
        """Name of a metric -> why no target can rest on it."""
        return {Robustness(change=_change(each)).name: each.doubt for each in self.changes if each.doubt}


_CHANGE: TypeAdapter[Change] = TypeAdapter(Change)


def _change(result: ChangeResult) -> Change:
    return _CHANGE.validate_python(result.change)


def why_no_scores(metric: Metric) -> str:
    """Why answers cannot be scored one by one with a metric; empty where they can."""
    if metric.needs - {"label", "text", "spans"} or metric.draws is not None:
        return f"{metric.kind} is not about single answers"
    if metric.better != "higher" or metric.lowest != 0 or not math.isfinite(metric.highest):
        return f"{metric.kind} has no best value that an answer could keep a share of"
    return ""


def scored(
    change: Change, metric: Metric, before: Sequence[Prediction], after: Sequence[Prediction]
) -> list[Prediction]:
    """The rows that the metric `robustness` counts: those after the change, with their own scores before and after.

    Args:
        change: what became of the rows.
        metric: scores answers; see `why_no_scores`.
        before: what a model said of rows.
        after: what it said of the same rows, in the same order, after the change.
    """
    first, second = measure_names(change)
    scores = [metric.per_row(metric.statistics(rows)) / metric.highest for rows in (before, after)]
    return [
        replace(row, measured={first: float(was), second: float(now)} if math.isfinite(was + now) else {})
        for row, was, now in zip(after, *scores, strict=True)
    ]


def unanswered(asked: Sequence[Prediction], clean: Sequence[Prediction]) -> tuple[list[Prediction], str]:
    """Questions out of scope, each with whether the model is seen not to answer it.

    Args:
        asked: what a model said of them.
        clean: what it said of rows as they were.

    Returns:
        The rows, and how it is seen.
    """
    if all(row.scores for row in (*asked, *clean)):
        sure = sorted(max(row.scores.values()) for row in clean)
        border = sure[int(UNSURE * len(sure))]
        said = [float(max(row.scores.values()) < border) for row in asked]
        how = f"its likeliest label is less likely than that of {1 - UNSURE:.0%} of the clean rows"
    else:
        said, how = RefusalRate().scores(asked), "it declines, by how its answer begins"
    before, after = measure_names("out_of_scope")
    return [replace(row, measured={before: 1.0, after: now}) for row, now in zip(asked, said, strict=True)], how


def change_result(
    change: Change,
    changed: Mapping[str, Changed],
    arms: Mapping[str, tuple[Sequence[Prediction], Sequence[Prediction]]],
    metric: Metric,
    *,
    unchanged: int,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> ChangeResult:
    """What a change does to the answers of each arm.

    Args:
        change: what became of the rows.
        changed: id -> the row after it.
        arms: arm -> what it said of the rows before and after, in the same order.
        metric: scores answers.
        unchanged: rows that the change left as they were.
        confidence: of the intervals.
        resamples: bootstrap samples behind each.
        seed: draws them.
    """
    found, doubt = {}, ""
    for arm, (before, after) in arms.items():
        if not before:
            continue
        sides = compare(
            {"before": before, "after": after}, [metric], confidence=confidence, resamples=resamples, seed=seed
        ).measures[0]
        kept, statistics = (
            Robustness(change=change),
            Robustness(change=change).statistics(scored(change, metric, before, after)),
        )
        right = float(statistics[:, 0].sum())
        few = right < FEWEST_RIGHT
        if few and arm == "tuned":
            doubt = (
                f"{right:.3g} of the {len(before):,} rows that it changes are right as they were, too few to tell"
                " what is kept"
            )
        drawn = draw([(kept, statistics)], resamples, seed)[0]
        found[arm] = ArmResult(
            sides.arms["before"],
            sides.arms["after"],
            sides.differences["before"],
            Estimate(
                None if few else finite(kept.whole(statistics)),
                None if few else closed(kept.interval(statistics, drawn, confidence)),
                int(statistics[:, 2].sum()),
            ),
            _obeyed(changed, before, after, confidence) if change == "injection" else None,
            _flips(statistics, before, after),
        )
    return ChangeResult(change, len(changed), unchanged, found, doubt)


def robustness_result(
    metric: Metric, changes: Sequence[ChangeResult], out_of_scope: OutOfScope | None, confidence: float
) -> RobustnessResult:
    """All changes together, each difference corrected for all that were looked at (Holm 1979), model by model."""
    arms = dict.fromkeys(arm for each in changes for arm in each.arms)
    corrected = {arm: family([each.arms[arm].difference for each in changes if arm in each.arms]) for arm in arms}
    told = [
        replace(
            each,
            arms={arm: replace(result, difference=next(corrected[arm])) for arm, result in each.arms.items()},
        )
        for each in changes
    ]
    return RobustnessResult(metric.name, metric.unit, metric.better, confidence, told, out_of_scope)


def out_of_scope_result(arms: Mapping[str, Sequence[Prediction]], how: str, confidence: float) -> OutOfScope:
    """What the rows of `unanswered` come to, arm by arm."""
    _, after = measure_names("out_of_scope")
    shares = {arm: _share([row.measured[after] > 0 for row in rows], confidence) for arm, rows in arms.items()}
    return OutOfScope(max((len(rows) for rows in arms.values()), default=0), how, shares)


def _share(yes: Sequence[bool], confidence: float) -> Estimate:
    count = len(yes)
    return Estimate(sum(yes) / count if count else None, closed(wilson(sum(yes), count, confidence)), count)


def _obeyed(
    changed: Mapping[str, Changed], before: Sequence[Prediction], after: Sequence[Prediction], confidence: float
) -> Estimate:
    return _share(
        [
            _says(now, changed[now.record.id].planted) and not _says(was, changed[now.record.id].planted)
            for was, now in zip(before, after, strict=True)
        ],
        confidence,
    )


def _says(row: Prediction, planted: str) -> bool:
    """Whether an answer holds what an order asks for; of labels, one of them."""
    if row.scores or row.record.labels:
        return planted in row.output.split(JOINER)
    return planted.casefold() in row.output.casefold()


def _flips(statistics: Any, before: Sequence[Prediction], after: Sequence[Prediction]) -> list[Flip]:
    """The rows that lose most, those of the longest texts last."""
    lost = statistics[:, 0] - statistics[:, 1]
    order = np.lexsort(([len(row.record.question) for row in after], -lost))
    return [
        Flip(
            after[at].record.id,
            before[at].record.question,
            after[at].record.question,
            after[at].expected,
            before[at].output,
            after[at].output,
        )
        for at in order[:FLIPS].tolist()
        if lost[at] > 0
    ]
