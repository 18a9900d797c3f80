"""What a metric comes to on the rows of a target, with its interval: of one model, against an arm, in folds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tunesmith.evaluate.statistics.folds import fold_values, mean_over
from tunesmith.evaluate.statistics.resample import draw, weights
from tunesmith.records import Prediction

if TYPE_CHECKING:
    from tunesmith.metrics import Metric


class Measured(NamedTuple):
    """A metric on the rows that a target is about."""

    value: float
    interval: tuple[float, float] | None
    """Two-sided, so wide that each end is a one-sided limit of the confidence wanted."""
    num_rows: int
    """Rows that have something to measure."""
    how: str
    """What the value is of, in words."""
    rows_to_settle: Callable[[float, float], float]
    """About how many rows settle it, by the limit that faces the bound and the bound."""


Measure = Callable[["Metric", Mapping[str, str], str | None], Measured | None]
"""Measures a metric on the rows of a slice, or how far it is above an arm; None where there are no rows."""


def _in_slice(rows: Sequence[Prediction], slice_: Mapping[str, str]) -> list[Prediction]:
    return [row for row in rows if all(row.record.slices.get(key) == says for key, says in slice_.items())]


def on_rows(
    predictions: Sequence[Prediction],
    confidence: float,
    resamples: int,
    seed: int,
    arms: Mapping[str, Sequence[Prediction]],
) -> Measure:
    """What one model comes to on its rows."""

    def measure(metric: Metric, slice_: Mapping[str, str], over: str | None) -> Measured | None:
        rows = _in_slice(predictions, slice_)
        if not rows:
            return None
        if over is not None:
            return _ahead(metric, rows, arms[over], over, confidence, resamples, seed)
        statistics = metric.statistics(rows)
        value = metric.whole(statistics)
        if not math.isfinite(value):
            return Measured(value, None, len(rows), "", lambda *_: math.nan)
        num_rows = int(np.isfinite(metric.per_row(statistics)).sum())
        drawn = draw([(metric, statistics)], resamples, seed)[0]
        return Measured(
            value,
            metric.interval(statistics, drawn, 2 * confidence - 1),
            num_rows,
            f"on {said_rows(num_rows)}",
            lambda limit, bound: metric.rows_to_settle(statistics, limit, bound, confidence),
        )

    return measure


def _ahead(
    metric: Metric,
    rows: Sequence[Prediction],
    others: Sequence[Prediction],
    over: str,
    confidence: float,
    resamples: int,
    seed: int,
) -> Measured:
    """How far the tuned model is above an arm on the same rows."""
    theirs = {row.record.id: row for row in others}
    after, before = metric.statistics(rows), metric.statistics([theirs[row.record.id] for row in rows])
    value = metric.whole(after) - metric.whole(before)
    if not math.isfinite(value):
        return Measured(value, None, len(rows), "", lambda *_: math.nan)
    drawn = [
        metric.resampled(after, chunk) - metric.resampled(before, chunk)
        for chunk in weights(len(rows), resamples, seed)
    ]
    interval = metric.difference(after, before, np.concatenate(drawn), 2 * confidence - 1)
    return Measured(
        value,
        interval,
        len(rows),
        f"over {over} on {said_rows(len(rows))}",
        lambda limit, bound: len(rows) * ((value - limit) / (value - bound)) ** 2 if value != bound else math.inf,
    )


def in_folds(folds: Sequence[Sequence[Prediction]], together: Measure, confidence: float) -> Measure:
    """What the models of all folds come to in the mean; `together` measures all their rows at once."""

    def measure(metric: Metric, slice_: Mapping[str, str], over: str | None) -> Measured | None:
        on_rows = together(metric, slice_, over)
        if on_rows is None or over is not None or not math.isfinite(on_rows.value):
            return on_rows
        num_rows = on_rows.num_rows
        values = fold_values(metric, [_in_slice(fold, slice_) for fold in folds])
        value, interval = mean_over(metric, values, on_rows.value, on_rows.interval, 2 * confidence - 1)
        if not math.isfinite(value):
            return on_rows._replace(value=value)
        known = [found for found in values if math.isfinite(found)]
        return Measured(
            value,
            interval,
            num_rows,
            f"in the mean of {len(known)} folds ({min(known):.4g} to {max(known):.4g}, {said_rows(num_rows)})",
            # The interval narrows as the square root of the rows.
            lambda limit, bound: num_rows * ((value - limit) / (value - bound)) ** 2 if value != bound else math.inf,
        )

    return measure


def said_rows(count: int) -> str:
    """A number of rows in words."""
    return f"{count:,} row{'' if count == 1 else 's'}"
