"""Compares arms on the same rows: every value with its interval, every difference paired, by slice too."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.errors import GateFailed
from tunesmith.evaluate.comparison import (
    Comparison,
    Difference,
    Estimate,
    FoldMeasure,
    Measure,
    SliceMeasure,
    closed,
    finite,
)
from tunesmith.evaluate.mistakes.cases import answer_lengths, notable
from tunesmith.evaluate.mistakes.confusion import label_table
from tunesmith.evaluate.mistakes.kinds import Kind
from tunesmith.evaluate.mistakes.slices import discover as find_slices
from tunesmith.evaluate.statistics.folds import fold_values, mean_over, mean_over_seeds
from tunesmith.evaluate.statistics.resample import draw
from tunesmith.evaluate.statistics.significance import corrected
from tunesmith.records import Prediction, Record

if TYPE_CHECKING:
    from tunesmith.metrics import Floats, Metric, Need

SMALL = 30
"""Slices of fewer rows are flagged."""
MOST_SLICES = 30
"""Values of one column that are broken down, the most frequent first; the rest are taken together."""
REST = "(other)"
NONE = "(none)"

NOTHING = Estimate(None, None, 0)
"""Of an arm that cannot be measured by a metric."""

Statistics = dict[str, "Floats"]
"""Arm -> [N, K]."""


def compare(
    arms: Mapping[str, Sequence[Prediction]],
    metrics: Sequence[Metric],
    *,
    slices: Sequence[str] = (),
    task: str | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    folds: Mapping[str, Sequence[Sequence[Prediction]]] | None = None,
    discover: Sequence[Kind] = (),
    trained: Sequence[Record] = (),
    seeds: Sequence[Sequence[Prediction]] = (),
) -> Comparison:
    """Measures every arm, and the last against each of the others.

    Args:
        arms: arm -> its predictions; all of the same records, in any order.
        metrics: what to measure; the first one ranks single rows.
        slices: names in `Record.slices` to break figures down by.
        task: the goal's task, for metrics that go by it.
        confidence: of the intervals, 0 to 1.
        resamples: bootstrap samples behind each interval.
        seed: draws them.
        folds: arm -> its predictions by fold, where the rows were tested in folds.
        discover: kinds of slices to find and break the first metric down by.
        trained: the rows that were trained on, for slices by how near they are.
        seeds: what models like that of the last arm, but of other seeds, said of the same rows.

    Raises:
        GateFailed: the arms were not measured on the same rows.
    """
    aligned = _align(arms)
    rows = next(iter(aligned.values()))
    last = list(aligned)[-1]
    settled = [metric.for_task(task) for metric in metrics]
    measured = [
        {arm: metric.statistics(made) for arm, made in aligned.items() if _can(metric, made)} for metric in settled
    ]

    def view(chosen: list[int] | slice) -> list[tuple[dict[str, Estimate], dict[str, Difference]]]:
        taken = [{arm: values[chosen] for arm, values in statistics.items()} for statistics in measured]
        return _estimate(settled, taken, list(aligned), confidence, resamples, seed)

    broken_down: list[list[SliceMeasure]] = [[] for _ in settled]
    for column, value, chosen in _broken_down(rows, slices):
        for found, (values, differences) in zip(broken_down, view(chosen), strict=True):
            found.append(SliceMeasure(column, value, len(chosen), len(chosen) < SMALL, values, differences))
    measures = [
        replace(
            _measure(metric, values, differences, by),
            folds={arm: _in_folds(metric, made, values[arm], confidence) for arm, made in (folds or {}).items()},
            seeds=_over_seeds(metric, values[last], seeds, confidence),
            caution=metric.caution(statistics[last]) if last in statistics else "",
        )
        for metric, (values, differences), by, statistics in zip(
            settled, view(slice(None)), broken_down, measured, strict=True
        )
    ]
    labels = label_table(aligned, settled)
    kinds = discover if settled and last in measured[0] else ()
    find = partial(find_slices, trained=trained, confidence=confidence, seed=seed)
    return Comparison(
        arms=list(aligned),
        num_rows=len(rows),
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        measures=corrected(measures),
        labels=labels,
        cases=notable(aligned, settled, measured),
        lengths={} if labels else answer_lengths(aligned),
        found=find(aligned, settled[0], measured[0], kinds=kinds) if kinds else None,
    )


def _measure(
    metric: Metric, values: dict[str, Estimate], differences: dict[str, Difference], by: list[SliceMeasure]
) -> Measure:
    ends = finite(metric.lowest), finite(metric.highest)
    return Measure(metric.name, metric.unit, metric.better, *ends, values, differences, by)


def _can(metric: Metric, predictions: Sequence[Prediction]) -> bool:
    """Whether predictions carry what a metric reads; figures that others measured may be of other metrics."""
    told = "measured" not in metric.needs or metric.score(predictions).num_rows > 0
    return told and metric.needs <= carried(predictions)


def carried(predictions: Sequence[Prediction]) -> frozenset[Need]:
    """What predictions carry, in the words of `Metric.needs`: a word count has no likelihoods, a rule takes no time."""
    found: dict[Need, bool] = {
        "label": True,
        "text": True,
        "spans": any(row.spans is not None for row in predictions),
        "scores": any(row.scores for row in predictions),
        "nll": any(row.nll is not None for row in predictions),
        "seconds": any(row.seconds > 0 for row in predictions),
        "measured": any(row.measured for row in predictions),
    }
    return frozenset(need for need, there in found.items() if there)


def _in_folds(
    metric: Metric, folds: Sequence[Sequence[Prediction]], together: Estimate, confidence: float
) -> FoldMeasure:
    values = fold_values(metric, folds)
    whole = math.nan if together.value is None else together.value
    low, high = together.interval or (None, None)
    on_rows = (
        None if together.interval is None else (-math.inf if low is None else low, math.inf if high is None else high)
    )
    mean, interval = mean_over(metric, values, whole, on_rows, confidence)
    return FoldMeasure([finite(value) for value in values], finite(mean), closed(interval))


def _over_seeds(
    metric: Metric, first: Estimate, seeds: Sequence[Sequence[Prediction]], confidence: float
) -> FoldMeasure | None:
    if not seeds or not all(_can(metric, each) for each in seeds):
        return None
    values = [math.nan if first.value is None else first.value, *fold_values(metric, seeds)]
    low, high = first.interval or (None, None)
    reach = None if low is None or high is None else (values[0] - low, high - values[0])
    mean, interval = mean_over_seeds(metric, values, reach, confidence)
    return FoldMeasure([finite(value) for value in values], finite(mean), closed(interval))


def _align(arms: Mapping[str, Sequence[Prediction]]) -> dict[str, list[Prediction]]:
    """The arms with their rows in the order of the first."""
    order = [row.record.id for row in next(iter(arms.values()))]
    aligned = {}
    for arm, predictions in arms.items():
        by_id = {row.record.id: row for row in predictions}
        if len(predictions) != len(order) or by_id.keys() != set(order) or len(by_id) != len(order):
            raise GateFailed(
                f"the arms {next(iter(arms))!r} and {arm!r} were not measured on the same rows",
                fix="evaluate every arm again on the same test rows",
            )
        aligned[arm] = [by_id[name] for name in order]
    return aligned


def _estimate(
    metrics: Sequence[Metric],
    measured: Sequence[Statistics],
    arms: Sequence[str],
    confidence: float,
    resamples: int,
    seed: int,
) -> list[tuple[dict[str, Estimate], dict[str, Difference]]]:
    pairs = [
        (metric, values) for metric, statistics in zip(metrics, measured, strict=True) for values in statistics.values()
    ]
    drawn = iter(draw(pairs, resamples, seed))
    found = []
    for metric, statistics in zip(metrics, measured, strict=True):
        draws = {arm: next(drawn) for arm in statistics}
        values = {
            arm: Estimate(
                finite(metric.whole(statistics[arm])),
                closed(metric.interval(statistics[arm], draws[arm], confidence)),
                _num_scored(metric, statistics[arm]),
            )
            if arm in statistics
            else NOTHING
            for arm in arms
        }
        others = [arm for arm in arms[:-1] if arm in statistics and arms[-1] in statistics]
        apart = {arm: _difference(metric, statistics, draws, arms[-1], arm, confidence) for arm in others}
        found.append((values, apart))
    return found


def _difference(
    metric: Metric, statistics: Statistics, draws: Mapping[str, Floats], last: str, arm: str, confidence: float
) -> Difference:
    apart = draws[last] - draws[arm]
    before, after = statistics[arm], statistics[last]
    return Difference(
        finite(metric.whole(after) - metric.whole(before)),
        closed(metric.difference(after, before, apart, confidence)),
        metric.p_value(after, before, apart),
        min(_num_scored(metric, after), _num_scored(metric, before)),
    )


def _num_scored(metric: Metric, statistics: Floats) -> int:
    return int(np.isfinite(metric.per_row(statistics)).sum())


def _broken_down(rows: Sequence[Prediction], columns: Sequence[str]) -> Iterator[tuple[str, str, list[int]]]:
    """(column, value, its rows) of every slice."""
    for column in columns:
        for value, chosen in _values(rows, column).items():
            yield column, value, chosen


def _values(rows: Sequence[Prediction], column: str) -> dict[str, list[int]]:
    """Value -> its rows, the most frequent first."""
    values = [str(row.record.slices.get(column, NONE)) for row in rows]
    frequent = [value for value, _ in Counter(values).most_common(MOST_SLICES)]
    names = [value if value in frequent else REST for value in values]
    return {
        name: [row for row, value in enumerate(names) if value == name] for name in (*frequent, REST) if name in names
    }
