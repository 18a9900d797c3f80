"""Labels against labels: the confusion matrix, and how each label fares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tunesmith.evaluate.comparison import ClassRow, Labels
from tunesmith.metrics import Metric
from tunesmith.metrics._labels import label_sets
from tunesmith.records import Prediction, Span

INVENTED = "(other)"
"""Stands for what a model made up (no row has it, and it was not among the labels to choose from) or left out."""

LabelPairs = list[tuple[frozenset[str], frozenset[str]]]


def label_table(arms: Mapping[str, Sequence[Prediction]], metrics: Sequence[Metric]) -> Labels | None:
    """Tables of labels or, where spans are predicted, of their labels; None where there are neither."""
    asked = {need for metric in metrics for need in metric.needs}
    if "label" in asked:
        return _of_labels(arms)
    if "spans" in asked:
        return _of_spans(arms)
    return None


def _of_labels(arms: Mapping[str, Sequence[Prediction]]) -> Labels:
    pairs = {arm: label_sets(predictions) for arm, predictions in arms.items()}
    known = {label for predictions in arms.values() for row in predictions for label in row.scores}
    known |= {label for found in pairs.values() for right, _ in found for label in right}
    pairs = {
        arm: [(right, frozenset(label if label in known else INVENTED for label in given)) for right, given in found]
        for arm, found in pairs.items()
    }
    single = all(len(right) == 1 and len(given) <= 1 for found in pairs.values() for right, given in found)
    if single:
        pairs = {
            arm: [(right, given or frozenset({INVENTED})) for right, given in found] for arm, found in pairs.items()
        }
    invented = any(INVENTED in given for found in pairs.values() for _, given in found)
    names = sorted(known) + ([INVENTED] if invented else [])
    return Labels(
        names=names,
        confusion={arm: _matrix(found, names) for arm, found in pairs.items()} if single else {},
        classes={arm: _classes([(list(a), list(b), list(a & b)) for a, b in pairs[arm]], names) for arm in pairs},
    )


def _of_spans(arms: Mapping[str, Sequence[Prediction]]) -> Labels:
    def found(row: Prediction) -> tuple[list[str], list[str], list[str]]:
        right, given = set(row.record.spans or ()), set(row.spans or ())
        return _labels_of(right), _labels_of(given), _labels_of(right & given)

    counted = {arm: [found(row) for row in predictions] for arm, predictions in arms.items()}
    names = sorted({label for rows in counted.values() for right, given, _ in rows for label in (*right, *given)})
    return Labels(names=names, confusion={}, classes={arm: _classes(rows, names) for arm, rows in counted.items()})


def _labels_of(spans: set[Span]) -> list[str]:
    return [span.label for span in spans]


def _matrix(pairs: LabelPairs, names: Sequence[str]) -> list[list[int]]:
    """Right labels down, given ones across."""
    place = {name: index for index, name in enumerate(names)}
    matrix = [[0] * len(names) for _ in names]
    for right, given in pairs:
        for label in given:
            matrix[place[next(iter(right))]][place[label]] += 1
    return matrix


def _classes(rows: Sequence[tuple[list[str], list[str], list[str]]], names: Sequence[str]) -> list[ClassRow]:
    """From (right, given, right and given) of each row."""
    right, given, both = (Counter(label for row in rows for label in row[part]) for part in range(3))
    return [
        ClassRow(
            label=name,
            precision=both[name] / given[name] if given[name] else 0.0,
            recall=both[name] / right[name] if right[name] else 0.0,
            f1=2 * both[name] / (right[name] + given[name]) if right[name] + given[name] else 0.0,
            support=right[name],
            predicted=given[name],
        )
        for name in names
    ]
