"""What texts are about: k-means over TF-IDF, and the words that tell each topic from the rest. N rows, W words."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_TOPICS, MOST_FITTED, DIMENSIONS = 10, 20_000, 50
NAMED, EXAMPLES = 6, 2
_WORDS_AT_LEAST = 30
"""Rows below which there are no topics."""


@dataclass(frozen=True)
class Vectors:
    """Rows as the words they hold, rare ones weighing more."""

    matrix_NW: Any
    """Sparse, rows of length one, or empty."""
    names: list[str]


def vectors(texts: Sequence[str]) -> Vectors | None:
    """TF-IDF of all rows; None where they have no word in common."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    model = TfidfVectorizer(
        sublinear_tf=True,
        stop_words="english",
        min_df=2,
        max_df=0.5,
        max_features=20_000,
        token_pattern=r"(?u)\b[^\W\d_]{2,}\b",
    )
    try:
        matrix = model.fit_transform(texts)
    except ValueError:  # nothing but words of one row, or none
        return None
    return Vectors(matrix, list(model.get_feature_names_out()))


def alikeness(found: Vectors) -> float | None:
    """The mean cosine of all pairs of rows that hold a word: 0 nothing in common, 1 all the same."""
    sums = np.asarray(found.matrix_NW.sum(axis=0)).ravel()
    squares = np.asarray(found.matrix_NW.multiply(found.matrix_NW).sum(axis=1)).ravel()
    count = int((squares > 0).sum())
    return float((sums @ sums - squares.sum()) / (count * (count - 1))) if count > 1 else None


def topics(found: Vectors, seed: int) -> tuple[list[dict[str, Any]], npt.NDArray[np.int64]] | None:
    """The topics, the largest first, and the number of each row's; -1 of rows without a word.

    Returns:
        Each with rows, share, words (those that tell it from the rest, by log-odds with a prior: Monroe and others,
        2008) and the rows that lie in its middle.
    """
    matrix = found.matrix_NW
    filled = np.flatnonzero(np.diff(matrix.indptr) > 0)
    if len(filled) < _WORDS_AT_LEAST or matrix.shape[1] < DIMENSIONS // 5:
        return None
    points = _points(matrix[filled], seed)
    random = np.random.default_rng(seed)
    fitted = random.choice(len(filled), min(len(filled), MOST_FITTED), replace=False)
    number = min(MOST_TOPICS, max(2, round((len(filled) / 25) ** 0.5)))
    of_rows, middles = _clusters(points, np.sort(fitted), number, seed)
    counts = (matrix[filled] > 0).astype(np.float64)
    overall = np.asarray(counts.sum(axis=0)).ravel()
    order = np.argsort(-np.bincount(of_rows, minlength=number), kind="stable")
    made: list[dict[str, Any]] = []
    of_N = np.full(matrix.shape[0], -1, np.int64)
    for old in order.tolist():
        inside = of_rows == old
        if not inside.any():
            continue
        of_N[filled[inside]] = len(made)
        near = np.argsort(-(points[inside] @ middles[old]), kind="stable")[:EXAMPLES]
        made.append(
            {
                "rows": int(inside.sum()),
                "share": float(inside.mean()),
                "words": _telling(np.asarray(counts[inside].sum(axis=0)).ravel(), overall, found.names),
                "middle": filled[inside][near].tolist(),
            }
        )
    return made, of_N


def _points(matrix: Any, seed: int) -> npt.NDArray[np.float64]:
    """Rows in few dimensions (latent semantic analysis), each of length one: words that go together count as one."""
    from sklearn.decomposition import TruncatedSVD

    size = min(DIMENSIONS, matrix.shape[1] - 1, matrix.shape[0] - 1)
    points: npt.NDArray[np.float64] = TruncatedSVD(size, random_state=seed).fit_transform(matrix)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    return points


def _clusters(
    points: npt.NDArray[np.float64], fitted: npt.NDArray[np.int64], number: int, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer different rows than clusters: some stay empty
        model = KMeans(number, n_init=3, random_state=seed).fit(points[fitted])
    return model.predict(points).astype(np.int64), model.cluster_centers_


def _telling(inside: npt.NDArray[np.float64], overall: npt.NDArray[np.float64], names: Sequence[str]) -> list[str]:
    """The words whose odds inside are surest to be above those outside."""
    outside = overall - inside
    prior = overall / overall.sum() * 500 + 0.01
    total = prior.sum()

    def log_odds(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        smoothed = counts + prior
        odds: npt.NDArray[np.float64] = np.log(smoothed / (counts.sum() + total - smoothed))
        return odds

    surety = (log_odds(inside) - log_odds(outside)) / np.sqrt(1 / (inside + prior) + 1 / (outside + prior))
    return [names[at] for at in np.argsort(-surety, kind="stable")[:NAMED] if surety[at] > 0]
