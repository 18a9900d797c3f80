"""How near texts are to examples, by the words they share: cosine of TF-IDF vectors (sublinear counts, smoothed inverse
document frequencies, as scikit-learn's) over hashed words.

S seeds, V words of the seeds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.quality.words import words

_BITS = 18
"""Of the numbers of words."""


class Seeds(NamedTuple):
    """Examples, ready to be compared with."""

    idf: npt.NDArray[np.float32]
    """Of every number."""
    words_V: npt.NDArray[np.int64]
    """Numbers of the words in the seeds, in order."""
    weights_VS: npt.NDArray[np.float32]
    """Vectors of length one."""


def numbers(text: str) -> npt.NDArray[np.int64]:
    """The words of a text as numbers of `_BITS` bits, the same in every process."""
    found = [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words(text.casefold())]
    # The upper bits of a CRC depend on every letter.
    return np.array(found, dtype=np.int64) >> (32 - _BITS)


def compared_with(seeds: Sequence[str], texts: Iterable[str]) -> Seeds:
    """Vectors of the seeds, with how rare words are among the texts.

    Args:
        texts: some ten thousand of those that will be compared are enough.
    """
    counts = np.zeros(1 << _BITS, dtype=np.int64)
    total = 0
    for text in texts:
        counts[np.unique(numbers(text))] += 1
        total += 1
    idf = (np.log((1 + total) / (1 + counts)) + 1).astype(np.float32)
    told = [numbers(seed) for seed in seeds]
    words_V = np.unique(np.concatenate(told)) if told else np.zeros(0, np.int64)
    weights_VS = np.zeros((len(words_V), len(told)), dtype=np.float32)
    for number, seed in enumerate(told):
        found, values = _vector(seed, idf)
        weights_VS[np.searchsorted(words_V, found), number] = values
    return Seeds(idf, words_V, weights_VS)


def similarity(text: str, seeds: Seeds) -> float:
    """Cosine to the nearest seed, 0 to 1."""
    found, values = _vector(numbers(text), seeds.idf)
    if not len(found) or not len(seeds.words_V):
        return 0.0
    places = np.minimum(np.searchsorted(seeds.words_V, found), len(seeds.words_V) - 1)
    shared = seeds.words_V[places] == found
    return float(min(1.0, (values[shared] @ seeds.weights_VS[places[shared]]).max())) if shared.any() else 0.0


def _vector(
    said: npt.NDArray[np.int64], idf: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Words, in order, and their weights, of length one together."""
    found, counts = np.unique(said, return_counts=True)
    values = (1 + np.log(counts)).astype(np.float32) * idf[found]
    length = float(np.linalg.norm(values))
    return found, values / np.float32(length) if length else values
