"""Which rows people rate: a sample that is spread over everything the rows differ in, and fair to all of them.

Every row has the same chance, so a mean over the sample is an unbiased estimate of the mean over the test rows; and
rows that are alike push each other out, so no corner is left empty by bad luck. That is the local pivotal method of
Grafström, Lundström and Schelin (Biometrics 68, 2012). Cluster middles or farthest points would be as spread out, but
would show typical rows too often, or odd ones.

N rows, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.audit.topics import vectors
from tunesmith.records import Prediction

Floats = NDArray[np.float64]

MOST_CONSIDERED = 4000
"""Of more rows as many are drawn by chance first; the method's work grows with their square."""
_TOPICS = 16
_MOST_VALUES = 30
"""A column with more values than this names rows and does not sort them."""


def sample(predictions: Sequence[Prediction], count: int, seed: int) -> list[int]:
    """The numbers of `count` rows, ascending; of all rows where there are no more.

    Args:
        predictions: of one arm; their records, and the right labels, are what rows differ in.
        count: how many rows.
        seed: draws them.
    """
    random = np.random.default_rng(seed)
    rows = np.arange(len(predictions))
    if count >= len(rows):
        return [int(row) for row in rows]
    if len(rows) > max(MOST_CONSIDERED, count):
        rows = np.sort(random.choice(rows, max(MOST_CONSIDERED, count), replace=False))
    points = features([predictions[int(row)] for row in rows], seed)
    return sorted(int(row) for row in rows[pivotal(points, count, random)])


def features(predictions: Sequence[Prediction], seed: int) -> Floats:
    """[N, D]: words, slices, the right label and the length; two rows that differ in one of them wholly are about
    one apart in it."""
    texts = [prediction.record.content() for prediction in predictions]
    lengths = np.log1p([len(text) for text in texts])
    spread = lengths.std()
    parts = [_topics(texts, seed), ((lengths - lengths.mean()) / (2 * spread if spread else 1.0))[:, None]]
    names = sorted({name for prediction in predictions for name in prediction.record.slices})
    columns = [[prediction.record.slices.get(name, "") for prediction in predictions] for name in names]
    columns.append([", ".join(prediction.record.labels) for prediction in predictions])
    parts += [_one_hot(column) for column in columns if 1 < len(set(column)) <= _MOST_VALUES]
    return np.concatenate(parts, axis=1)


def _topics(texts: Sequence[str], seed: int) -> Floats:
    found = vectors(texts)
    if found is None or min(found.matrix_NW.shape) <= 2:
        return np.zeros((len(texts), 0))
    from sklearn.decomposition import TruncatedSVD

    size = min(_TOPICS, *(side - 1 for side in found.matrix_NW.shape))
    points: Floats = TruncatedSVD(size, random_state=seed).fit_transform(found.matrix_NW)
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(np.divide(points, norms, out=np.zeros_like(points), where=norms > 1e-12) / np.sqrt(2))


def _one_hot(column: Sequence[str]) -> Floats:
    names = sorted(set(column))
    place = {name: number for number, name in enumerate(names)}
    return np.asarray(np.eye(len(names))[[place[value] for value in column]] / np.sqrt(2))


def pivotal(points: Floats, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """The rows that the local pivotal method takes, each with the chance `count / N`.

    A row and its nearest neighbour that are both undecided play for their chances, until one of them is in or out.

    Args:
        points: [N, D].
        count: how many rows, at most N.
        random: plays.
    """
    chance = np.full(len(points), count / len(points))
    undecided = random.permutation(len(points))  # equal distances fall by chance
    taken = []
    while len(undecided) > 1:
        at = int(random.integers(len(undecided)))
        apart = ((points[undecided] - points[undecided[at]]) ** 2).sum(axis=1)
        apart[at] = np.inf
        one, other = undecided[at], undecided[int(apart.argmin())]
        both = chance[one] + chance[other]
        first = random.random() < (chance[one] / both if both < 1 else (1 - chance[other]) / (2 - both))
        winner, loser = (one, other) if first else (other, one)
        chance[winner], chance[loser] = (both, 0.0) if both < 1 else (1.0, both - 1)
        taken += [row for row in (one, other) if chance[row] > 1 - 1e-9]
        settled = [row for row in (one, other) if not 1e-9 < chance[row] < 1 - 1e-9]
        for row in settled:
            undecided = undecided[undecided != row]
    if len(undecided) and chance[undecided[0]] > 0.5:
        taken.append(undecided[0])
    return np.array(sorted(taken), dtype=np.int64)
