"""What of each prediction is compared across groups."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tunesmith.evaluate.compare import carried
from tunesmith.evaluate.fairness.found import Shown
from tunesmith.metrics import Floats, Metric
from tunesmith.metrics._labels import label_sets
from tunesmith.metrics.refusal_rate import RefusalRate
from tunesmith.records import Prediction

MOST_LABELS = 10
"""Labels that are looked at where none is named, the most frequent first."""


@dataclass(frozen=True)
class Column:
    """One number a row."""

    shown: Shown
    label: str | None
    values: Floats
    """[N]; nan for rows that it is not about."""
    least: Floats | None = None
    """[N] the variance that a calibrated model would have; None where none is known."""


def columns(
    predictions: Sequence[Prediction], metrics: Sequence[Metric], favourable: str | None, *, labelled: bool
) -> list[Column]:
    """What is compared of the answers of one arm.

    Args:
        predictions: of the test rows.
        metrics: the first that scores rows is compared where answers are words.
        favourable: the label that is good to get; None where every label is looked at.
        labelled: whether answers are labels.
    """
    return list(_of_labels(predictions, favourable) if labelled else _of_words(predictions, metrics))


def watched(predictions: Sequence[Prediction], favourable: str | None) -> list[str]:
    """The labels whose rates are compared: the one named; of two the rarer, for the other's rates follow from it."""
    if favourable is not None:
        return [favourable]
    counts = Counter(label for right, _ in label_sets(predictions) for label in right)
    ranked = [label for label, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
    single = all(len(row.record.labels) < 2 for row in predictions)
    return ranked[1:] if len(ranked) == 2 and single else ranked[:MOST_LABELS]


def _of_labels(predictions: Sequence[Prediction], favourable: str | None) -> Iterator[Column]:
    pairs = label_sets(predictions)
    yield Column("right", None, np.array([float(right == given) for right, given in pairs]))
    for label in watched(predictions, favourable):
        has = np.array([label in right for right, _ in pairs])
        given = np.array([float(label in given) for _, given in pairs])
        yield Column("given", label, given)
        yield Column("found", label, np.where(has, given, np.nan))
        yield Column("mistaken", label, np.where(has, np.nan, given))
        sure = np.array([row.scores.get(label, math.nan) for row in predictions])
        if np.isfinite(sure).any():
            yield Column("calibration", label, sure - has, sure * (1 - sure))


def _of_words(predictions: Sequence[Prediction], metrics: Sequence[Metric]) -> Iterator[Column]:
    there = carried(predictions)
    for metric in metrics:
        if metric.needs <= there and metric.rows == "test":
            scores = metric.per_row(metric.statistics(predictions))
            if np.isfinite(scores).any() and not metric.columns:
                yield Column("score", metric.name, scores)
                break
    if any(row.output for row in predictions):
        yield Column("refused", None, np.array(RefusalRate().scores(predictions)))
        yield Column("words", None, np.array([float(len(row.output.split())) for row in predictions]))
