"""Right and wrong labels of a row, counted per label. What accuracy, precision, recall and F1 share.

A row has one label or several; several are written `first, second`. A row's right labels are its
record's, or else its expected text. A label is compared whole and exactly, blanks around it aside.

A label nobody predicted has precision 0, one that no row has has recall 0 (scikit-learn's
`zero_division=0`), and macro averages go over every label that rows have or were given, so that an
invented label counts against the model.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar

import numpy as np

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.records import Prediction, Record

JOINER = ", "
"""Between several labels of one row."""


def right_label(record: Record) -> str:
    """A row's right label as a model would write it, or its right answer."""
    return JOINER.join(record.labels) if record.labels else record.answer.strip()


def label_sets(predictions: Sequence[Prediction]) -> list[tuple[frozenset[str], frozenset[str]]]:
    """The (right, predicted) labels of each row."""
    known = {label for row in predictions for label in (*row.record.labels, *row.scores)}
    known |= {row.expected.strip() for row in predictions if not row.record.labels}
    return [
        (frozenset(row.record.labels) or split_labels(row.expected, known), split_labels(row.output, known))
        for row in predictions
    ]


def split_labels(text: str, known: Collection[str]) -> frozenset[str]:
    """The labels written in `text`; a label that holds the joiner itself is found if it is `known`."""
    text = text.strip()
    if not text:
        return frozenset()
    pieces = text.split(JOINER)
    found, start = set(), 0
    while start < len(pieces):
        ends = range(len(pieces), start, -1)
        end = next((end for end in ends if JOINER.join(pieces[start:end]) in known), start + 1)
        found.add(JOINER.join(pieces[start:end]).strip())
        start = end
    return frozenset(found - {""})


def count(pairs: Sequence[tuple[Collection[str], Collection[str]]], labels: Iterable[str]) -> Floats:
    """[N, 3 L] of 0 and 1: given and right, given but wrong, right but not given; for each label."""
    place = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(pairs), 3, len(place)))
    for row, (right, given) in enumerate(pairs):
        for label in {*right, *given} & place.keys():
            kind = 0 if label in right and label in given else 1 if label in given else 2
            counts[row, kind, place[label]] = 1
    return counts.reshape(len(pairs), 3 * len(place))


def every_label(predictions: Sequence[Prediction]) -> Floats:
    """What `count` counts, for every label that rows have or were given."""
    pairs = label_sets(predictions)
    return count(pairs, sorted({label for pair in pairs for labels in pair for label in labels}))


def by_label(totals: Floats) -> tuple[Floats, Floats, Floats]:
    """[..., L] each: given and right, given but wrong, right but not given."""
    counts = totals.reshape(*totals.shape[:-1], 3, totals.shape[-1] // 3)
    return counts[..., 0, :], counts[..., 1, :], counts[..., 2, :]


FEWEST = 10
"""Rows of a label below which the interval of a mean over labels is too narrow (tests/golden/test_coverage.py)."""


def few_rows(rows: Floats) -> str:
    """A caution where labels have few rows.

    Args:
        rows: [L] of each label.
    """
    some = rows[rows > 0]
    if not len(some) or some.min() >= FEWEST:
        return ""
    few, fewest = int((some < FEWEST).sum()), int(some.min())
    have = f"a label has {fewest} test rows" if few == 1 else f"{few} labels have few test rows, one of them {fewest}"
    return f"{have}; the interval is too narrow for so few"


def few_of_a_label(statistics: Floats) -> str:
    """A caution where labels have few rows, from what `count` counts."""
    right, _, missed = by_label(statistics.sum(axis=0))
    return few_rows(right + missed)


class PerLabel(Metric):
    """A metric of counts per label, averaged over labels that occur, or of one label alone."""

    needs: ClassVar[frozenset[Need]] = frozenset({"label"})
    label: str | None = None
    """Only this label's value; left out, the plain mean over all labels (macro)."""

    @abstractmethod
    def of_counts(self, right: Floats, wrong: Floats, missed: Floats) -> Floats:
        """The value from given and right, given but wrong, right but not given; 0 where undefined."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        return every_label(predictions) if self.label is None else count(label_sets(predictions), [self.label])

    def value(self, totals: Floats) -> Floats:
        right, wrong, missed = by_label(totals)
        occurs = (right + wrong + missed) > 0
        return ratio(np.where(occurs, self.of_counts(right, wrong, missed), 0.0).sum(-1), occurs.sum(-1).astype(float))

    def caution(self, statistics: Floats) -> str:
        return few_of_a_label(statistics)


def f1_of(right: Floats, wrong: Floats, missed: Floats) -> Floats:
    """The harmonic mean of precision and recall, straight from the counts."""
    return ratio(2 * right, 2 * right + wrong + missed, empty=0.0)
