"""Training rows and held-out rows that differ in nothing but that the model learned from one kind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunesmith.data.methods.similar import similar_groups
from tunesmith.data.room import Room
from tunesmith.evaluate.statistics.drawn import drawn
from tunesmith.metrics import Floats
from tunesmith.records import Record

NEAR = 0.8
"""Jaccard similarity of runs of three words from which a row is a near copy."""
FOLDS = 5


def sides(
    train: Sequence[Record], held_out: Sequence[Record], most: int, seed: int
) -> tuple[list[Record], list[Record], int]:
    """Rows of both kinds without near copies on the other side, and how many had such copies.

    A held-out row of which the model learned a near copy is as good as learned.

    Args:
        train: rows as they were read; what steps made of them is left out, since no held-out row is like that.
        held_out: rows that neither training nor validation saw.
        most: of each kind; drawn by the seed.
        seed: another one draws others.
    """
    own = [record for record in train if record.parent is None]
    others = list(held_out)
    group_N = similar_groups([*own, *others], NEAR, Room(seed=seed))
    crossing = np.intersect1d(group_N[: len(own)], group_N[len(own) :])
    apart_N = ~np.isin(group_N, crossing)
    kept = [record for record, apart in zip([*own, *others], apart_N.tolist(), strict=True) if apart]
    count = int(apart_N[: len(own)].sum())
    members, outside = (list(drawn(rows, most, seed)) for rows in (kept[:count], kept[count:]))
    return members, outside, int((~apart_N).sum())


def told_by_words(members: Sequence[Record], held_out: Sequence[Record], seed: int) -> Floats:
    """[N] how likely each row, members first, is a member by its words alone, as a count of words learns it in folds.

    Where that works, rows differ in more than in having been trained on, and no attack means anything (Das et al. 2024,
    arXiv 2406.16201).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]")
    model = make_pipeline(words, LogisticRegression(max_iter=1000, tol=1e-3, class_weight="balanced"))
    right = np.repeat([1, 0], [len(members), len(held_out)])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    texts = [record.content() for record in (*members, *held_out)]
    sure_N2: Floats = cross_val_predict(model, texts, right, cv=folds, method="predict_proba")
    return sure_N2[:, 1]
