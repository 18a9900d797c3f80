"""How much of a text repeats itself: the ratios of MassiveText (Gopher, arXiv 2112.11446, table A1), which RefinedWeb
(arXiv 2306.01116) uses too, and how far zlib compresses it. C4 (arXiv 1910.10683) removes repeated lines.

N words, n words in a run.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.quality.words import is_unseparated

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHORT, _LONG = (2, 3, 4), (5, 6, 7, 8, 9, 10)


def duplicate_lines(text: str) -> float:
    """Share of the characters that stand in lines that stood above; blanks around lines and empty ones do not count."""
    seen: set[str] = set()
    repeated = total = 0
    for line in text.splitlines():
        line = line.strip()
        total += len(line)
        if line in seen:
            repeated += len(line)
        seen.add(line)
    return repeated / total if total else 0.0


def common_ngrams(words: Sequence[str]) -> float:
    """The largest share of characters in the commonest run of 2, 3 or 4 words, as a share for runs of 2.

    Gopher's limits are 0.20, 0.18 and 0.16: the shares of longer runs are multiplied by 0.20/0.18 and 0.20/0.16, so
    that one limit is right for all.
    """
    largest = 0.0
    for n, runs_N, lengths_N in _runs(words, _SHORT):
        _, first_N, counts_N = np.unique(runs_N, return_index=True, return_counts=True)
        most = int(counts_N.max())
        if most > 1:
            longest = int(lengths_N[first_N[counts_N == most]].max())
            largest = max(largest, most * longest / (1.2 - 0.1 * n))
    return min(1.0, largest / max(1, sum(map(len, words))))


def duplicate_ngrams(words: Sequence[str]) -> float:
    """The largest share of characters in runs of 5 to 10 words that stood before, as a share for runs of 5.

    Gopher's limits fall from 0.15 to 0.10: the shares of longer runs are multiplied accordingly, so that one limit is
    right for all. Characters in several such runs count once.
    """
    sizes_N = np.array([len(word) for word in words])
    largest = 0.0
    for n, runs_N, _ in _runs(words, _LONG):
        _, first_N = np.unique(runs_N, return_index=True)
        repeats_N = np.ones(len(runs_N), dtype=bool)
        repeats_N[first_N] = False
        if not repeats_N.any():
            break  # and no longer run stands twice
        edges_N = np.zeros(len(words) + 1, dtype=np.int64)
        starts = np.flatnonzero(repeats_N)
        width = len(words) - len(runs_N) + 1
        np.add.at(edges_N, starts, 1)
        np.add.at(edges_N, starts + width, -1)
        covered = int(sizes_N[np.cumsum(edges_N[:-1]) > 0].sum())
        largest = max(largest, covered / (1 - (n - 5) / 15))
    return min(1.0, largest / max(1, int(sizes_N.sum())))


def compressed_share(text: str) -> float:
    """Compressed size against size, by zlib: about 0.5 for a page of English, 0.02 for a word said a thousand times."""
    data = text.encode("utf-8", "surrogatepass")
    return len(zlib.compress(data, 6)) / len(data) if data else 1.0


def _runs(
    words: Sequence[str], sizes: Sequence[int]
) -> Iterator[tuple[int, npt.NDArray[np.uint64], npt.NDArray[np.int64]]]:
    """For each size n: n, a number for each run of n words, equal for equal runs, and the characters of each.

    A character of Chinese or Japanese says about half of a word, so there runs are twice as long.
    """
    numbers: dict[str, int] = {}
    ids_N = np.array([numbers.setdefault(word.casefold(), len(numbers)) for word in words], dtype=np.uint64)
    sizes_N = np.array([0, *(len(word) for word in words)]).cumsum()
    double = sum(map(is_unseparated, words)) * 2 > len(words)
    for n in sizes:
        width = 2 * n if double else n
        if width > len(words):
            return
        runs_N = np.zeros(len(words) - width + 1, dtype=np.uint64)
        for place in range(width):
            # A polynomial in a large odd number, modulo 2**64.
            runs_N = runs_N * _MULTIPLIER + (ids_N[place : place + len(runs_N)] + np.uint64(1))
            runs_N ^= runs_N >> np.uint64(29)
        yield n, runs_N, sizes_N[width:] - sizes_N[:-width]
