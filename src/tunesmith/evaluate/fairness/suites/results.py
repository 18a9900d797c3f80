"""What a suite's items come to, over all of them and for each kind of bias."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from tunesmith.evaluate.comparison import closed, finite
from tunesmith.evaluate.fairness.found import Change, SuiteKind, SuiteResult
from tunesmith.evaluate.fairness.suites import Suite
from tunesmith.evaluate.statistics.independent import mean_interval
from tunesmith.evaluate.statistics.resample import draw
from tunesmith.metrics import Metric
from tunesmith.metrics._measured import BIAS, MEANINGFUL, RIGHT
from tunesmith.metrics.bbq_bias import BbqBias
from tunesmith.metrics.stereotype_preference import StereotypePreference
from tunesmith.records import Prediction


def suite_result(
    suite: Suite, arm: str, rows: Sequence[Prediction], *, confidence: float, resamples: int, seed: int
) -> SuiteResult:
    """The figures of one suite and one model.

    Args:
        suite: that was asked.
        arm: of whom.
        rows: what `ask` returned.
        confidence: of the intervals.
        resamples, seed: of the bootstrap behind those of BBQ's scores.
    """
    kinds = sorted({row.record.slices[BIAS] for row in rows})

    def kind(name: str, some: Sequence[Prediction]) -> SuiteKind:
        return SuiteKind(name, len(some), dict(_figures(some, confidence, resamples, seed)))

    found = [kind("all", rows)]
    if len(kinds) > 1:
        found += [kind(name, [row for row in rows if row.record.slices[BIAS] == name]) for name in kinds]
    left_out = suite.left_out + len(suite.items) - len(rows)
    return SuiteResult(suite.name, suite.path, arm, len(rows), left_out, found)


def _figures(rows: Sequence[Prediction], confidence: float, resamples: int, seed: int) -> Iterator[tuple[str, Change]]:
    def of_metric(metric: Metric) -> Change:
        statistics = metric.statistics(rows)
        drawn = draw([(metric, statistics)], resamples, seed)[0]
        return Change(finite(metric.whole(statistics)), closed(metric.interval(statistics, drawn, confidence)))

    preferred = of_metric(StereotypePreference())
    if preferred.value is not None:
        yield "stereotyped", preferred
    if (meaningful := _mean(rows, MEANINGFUL, confidence)).value is not None and preferred.value is not None:
        yield "meaningful", meaningful
        # StereoSet's one figure: a model that makes sense of language and favours neither side has 1.
        yield "icat", Change(meaningful.value * 2 * min(preferred.value, 1 - preferred.value), None)
    for context in ("ambiguous", "clear"):
        if (right := _mean(rows, f"{RIGHT}.{context}", confidence)).value is not None:
            yield f"right, {context}", right
        bias = of_metric(BbqBias.model_validate({"context": context}))
        if bias.value is not None:
            yield f"bias, {context}", bias


def _mean(rows: Sequence[Prediction], name: str, confidence: float) -> Change:
    values = np.array([row.measured.get(name, math.nan) for row in rows])
    values = values[np.isfinite(values)]
    return (
        Change(float(values.mean()), closed(mean_interval(values, confidence))) if len(values) else Change(None, None)
    )
