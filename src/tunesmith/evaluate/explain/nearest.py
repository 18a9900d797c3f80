"""The training rows that a model takes a row for: the nearest by its own last hidden state.

Hidden states of a model point much the same way, so that all rows look alike; the mean of the training rows is taken
off first, and what is left is compared by its cosine.

N rows, M training rows, K neighbours, D hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.methods.augmenting.target import said
from tunesmith.evaluate.comparison import Estimate, closed
from tunesmith.evaluate.explain.found import Doubted, Nearest, Neighbour
from tunesmith.metrics._intervals import wilson
from tunesmith.metrics._labels import right_label
from tunesmith.records import Prediction, Record

NEIGHBOURS = 5
SHOWN = 3
"""Of each row that is explained."""
DOUBTED = 10
"""Rows named at the most."""


def neighbours(
    states_ND: NDArray[np.float32], train_MD: NDArray[np.float32], train: Sequence[Record]
) -> list[list[Neighbour]]:
    """The nearest training rows of each row, the nearest first.

    Args:
        states_ND: hidden states of rows.
        train_MD: those of the training rows.
        train: M training rows.
    """
    mean_D = train_MD.mean(axis=0)
    cosines_NM = _unit(states_ND - mean_D) @ _unit(train_MD - mean_D).T
    order_NK = np.argsort(-cosines_NM, axis=1, kind="stable")[:, :NEIGHBOURS]
    return [
        [Neighbour(train[at].id, said(train[at]), _answer(train[at]), float(cosines_M[at])) for at in order_K]
        for cosines_M, order_K in zip(cosines_NM, order_NK.tolist(), strict=True)
    ]


def nearest(
    rows: Sequence[Prediction], found: Sequence[Sequence[Neighbour]], train: Sequence[Record], *, confidence: float
) -> Nearest | None:
    """What neighbours say of labels; None where rows have none.

    Args:
        rows: N rows that were answered.
        found: the neighbours of each.
        train: the training rows they were found among.
        confidence: of the interval.
    """
    labels = [right_label(record) for record in train]
    if not all(labels) or not rows:
        return None
    hits = sum(row.output == near[0].label for row, near in zip(rows, found, strict=True))
    base = float(np.mean([labels.count(row.output) / len(labels) for row in rows]))
    doubted = [
        Doubted(row.record.id, said(row.record), row.expected, row.output, near[0].label, list(near))
        for row, near in zip(rows, found, strict=True)
        if len({each.label for each in near}) == 1 and near[0].label != row.expected
    ]
    # Where the model agrees with the neighbours, the row's own label is the odd one out.
    doubted.sort(key=lambda each: (each.given != each.label, -each.neighbours[-1].similarity))
    same = Estimate(hits / len(rows), closed(wilson(hits, len(rows), confidence)), len(rows))
    return Nearest(len(train), min(NEIGHBOURS, len(train)), same, base, doubted[:DOUBTED])


def _answer(record: Record) -> str:
    return right_label(record) or record.answer


def _unit(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)
    return unit
