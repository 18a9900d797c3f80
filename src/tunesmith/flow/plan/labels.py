"""How many labels look wrong, by confident learning on models that did not learn the row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from tunesmith.data.methods.votes.confident import find_errors
from tunesmith.data.methods.votes.out_of_fold import Words, folds_of, learn, predict
from tunesmith.records import Record

FOLDS = 5
MOST = 5_000
"""Rows looked at; of more the evenly spaced."""
FEWEST = 20
"""Rows of a label below which it is left out."""


def wrong_labels(records: Sequence[Record]) -> tuple[float, float, int] | None:
    """The estimated share of wrong labels, half the width of its 95% interval, and the rows looked at.

    None where rows do not carry one label each, or labels have too few rows.
    """
    step = max(1, len(records) // MOST)
    labelled = [(record.question, record.label) for record in records[::step] if record.label is not None]
    counts = Counter(label for _, label in labelled)
    kept = [(text, label) for text, label in labelled if counts[label] >= FEWEST]
    names = sorted({label for _, label in kept})
    if len(names) < 2:
        return None
    texts = [text for text, _ in kept]
    given_N = np.array([names.index(label) for _, label in kept])
    fold_N = folds_of(np.array(texts), given_N, FOLDS, seed=0)
    features = Words(texts)
    models = learn(features(texts), given_N, fold_N, FOLDS)
    rate = find_errors(given_N, predict(models, texts, features, fold_N, len(names))).rate
    return rate, 1.96 * math.sqrt(rate * (1 - rate) / len(texts)), len(texts)
