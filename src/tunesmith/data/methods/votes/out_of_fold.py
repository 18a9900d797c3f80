"""Probabilities of labels by models that did not learn the row: logistic regression over words or vectors.

Models learn from a sample of bounded size, so that millions of rows are predicted in pieces and never held.

N rows, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.votes.table import Floats, Ints

LEARNED = 40_000
"""The most rows that models learn from, all labels together."""
PIECE = 4_096
"""Rows that are predicted at a time."""
_COLUMNS = 2**18
_KEPT = 2**16

Features = Callable[[Sequence[str]], Any]
"""Texts to a matrix, one row each."""


class Words:
    """TF-IDF of words and pairs of words, by hashing, so that no vocabulary is held.

    Args:
        texts: what the weights are learned from; words that stand in one text only are left out.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        self._hashing = HashingVectorizer(
            n_features=_COLUMNS, ngram_range=(1, 2), norm=None, alternate_sign=False, dtype=np.float32
        )
        counts = self._hashing.transform(texts)
        found = np.bincount(counts.indices, minlength=_COLUMNS)
        most = np.argsort(-found, kind="stable")[:_KEPT]
        self._columns = np.sort(most[found[most] > min(1, len(texts) - 1)])
        self._weigh = TfidfTransformer(sublinear_tf=True).fit(counts[:, self._columns])

    def __call__(self, texts: Sequence[str]) -> Any:
        """[N, columns], sparse, each row of length one."""
        return self._weigh.transform(self._hashing.transform(texts)[:, self._columns])


def folds_of(keys: npt.NDArray[Any], given_N: Ints, folds: int, seed: int) -> Ints:
    """The fold of each row: rows with the same key stay together, and the labels are spread evenly.

    Args:
        keys: the same for rows with the same text, so that a copy does not vouch for a row.
    """
    _, first, key_N = np.unique(keys, return_index=True, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(first))
    by_label = drawn[np.argsort(given_N[first][drawn], kind="stable")]
    fold_of_key = np.empty(len(first), np.int64)
    fold_of_key[by_label] = np.arange(len(first)) % folds
    return fold_of_key[key_N.ravel()]


def few(keys: npt.NDArray[Any], given_N: Ints, size: int, least: int) -> npt.NDArray[np.bool_]:
    """The labels with fewer than `least` different texts."""
    pairs = np.unique(np.rec.fromarrays([keys, given_N]))
    return np.asarray(np.bincount(pairs["f1"], minlength=size) < least, bool)


def sampled(given_N: Ints, seed: int, most: int = LEARNED) -> npt.NDArray[np.bool_]:
    """The rows to learn from: all, or at most `most`, of each label in proportion but never fewer than it can give of
    an even share of a tenth."""
    if len(given_N) <= most:
        return np.ones(len(given_N), bool)
    rows_C = np.bincount(given_N)
    even = most // (10 * max(int((rows_C > 0).sum()), 1))
    take_C = np.maximum(rows_C * most // len(given_N), np.minimum(rows_C, even))
    drawn = np.random.default_rng([seed, 1]).permutation(len(given_N))
    drawn = drawn[np.argsort(given_N[drawn], kind="stable")]
    place_N = np.arange(len(given_N)) - np.repeat(np.cumsum(rows_C) - rows_C, rows_C)
    taken = np.zeros(len(given_N), bool)
    taken[drawn[place_N < take_C[given_N[drawn]]]] = True
    return taken


def learn(features: Any, given: Ints, fold: Ints, folds: int, strength: float = 3.0) -> list[Any]:
    """One model for each fold, which has not learned from it.

    Args:
        features: a matrix, sparse or not, of the rows to learn from.
        strength: the inverse of the penalty on weights.
    """
    from sklearn.linear_model import LogisticRegression

    models = []
    for left_out in range(folds):
        rows = np.flatnonzero(fold != left_out)
        # Ranks of labels need no more than a rough optimum, and many labels cost much time.
        model = LogisticRegression(C=strength, max_iter=1000, tol=1e-3)
        models.append(model.fit(features[rows], given[rows]))
    return models


def predict(models: Sequence[Any], texts: Iterable[str], features: Features, fold_N: Ints, size: int) -> Floats:
    """[N, C]: each row's probabilities by the model of its fold; labels a model has not seen have none.

    Args:
        texts: of all rows, in their order.
        size: how many labels there are.
    """
    found_NC = np.zeros((len(fold_N), size), np.float32)
    start = 0
    for piece in pieces(texts, PIECE):
        matrix = features(piece)
        fold = fold_N[start : start + len(piece)]
        for number, model in enumerate(models):
            rows = np.flatnonzero(fold == number)
            if len(rows):
                found_NC[np.ix_(start + rows, model.classes_)] = model.predict_proba(matrix[rows])
        start += len(piece)
    return found_NC.astype(np.float64)


def pieces(items: Iterable[str], count: int) -> Iterator[list[str]]:
    """Lists of at most `count` items."""
    left = iter(items)
    while piece := list(islice(left, count)):
        yield piece
