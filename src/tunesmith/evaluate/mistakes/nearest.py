"""How near texts are to those that were trained on: the cosine to the nearest one, by TF-IDF.

T texts, W words, C trained texts of a chunk, D dimensions. Which trained text is nearest is told from random
projections to D dimensions, which keep cosines to within about 1 / sqrt(D) (Achlioptas, JCSS 66, 2003); how near it is,
from all words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

DIMENSIONS = 256
WORDS = 1 << 16
"""Words told apart, by their hashes."""
CHUNK = 4000
"""Trained texts held at once."""
BLOCK = 2000
"""Texts compared with a chunk at once."""
_WORD = r"(?u)\b\w+\b"


def nearest(texts: Sequence[str], trained: Iterable[str], seed: int = 0) -> npt.NDArray[np.float64]:
    """[T] the cosine of each text to the nearest of the trained ones; 0 where they share no word.

    Args:
        texts: T of them.
        trained: read once, a chunk at a time.
        seed: draws the projection.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    found = np.zeros(len(texts))
    counter = HashingVectorizer(
        n_features=WORDS, norm=None, alternate_sign=False, token_pattern=_WORD, dtype=np.float32
    )
    counts = counter.transform(texts)
    weigher = TfidfTransformer(sublinear_tf=True).fit(counts)
    mine_TW = weigher.transform(counts)
    signs_WD = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), (WORDS, DIMENSIONS))
    mine_TD = _projected(mine_TW, signs_WD)
    for chunk in _chunks(trained):
        theirs_CW = weigher.transform(counter.transform(chunk))
        theirs_DC = np.ascontiguousarray(_projected(theirs_CW, signs_WD).T)
        for start in range(0, len(texts), BLOCK):
            part = slice(start, start + BLOCK)
            best = (mine_TD[part] @ theirs_DC).argmax(axis=1)
            cosine = np.asarray(mine_TW[part].multiply(theirs_CW[best]).sum(axis=1)).ravel()
            found[part] = np.maximum(found[part], cosine)
    return found


def _projected(matrix: Any, signs_WD: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    points: npt.NDArray[np.float32] = matrix @ signs_WD
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    return points


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    left = iter(texts)
    while chunk := list(islice(left, CHUNK)):
        yield chunk
