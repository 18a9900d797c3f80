"""The sets that are compared: the distinct runs of words of each text, as numbers of 32 bits.

N texts, S shingles of all texts together. Two different runs have the same number once in four billion pairs, so a
similarity computed from numbers is that of the words: of pairs of texts of 60 words one in a million is off by one run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tunesmith.data.methods.similar.words import (
    F64,
    I64,
    U32,
    U64,
    Words,
    codes_of,
    folded,
    mixed,
    ranges,
    runs_of,
    words_of,
)

BLOCK = 1 << 16
"""Shingles that are worked on at once, in a matrix of texts of about the same length."""


class Block(NamedTuple):
    """Texts of about the same length."""

    rows: I64
    """[R] their numbers."""
    shingles: U32
    """[R, L] of each; those of shorter texts are filled up with one of their own, so that the set is the same."""


class Sets(NamedTuple):
    """The set of each of N texts."""

    values: U32
    """[S] text after text, ascending in each, none twice."""
    counts: I64
    """[N] how many each text has."""


def shingles_of(texts: Sequence[str], length: int) -> tuple[U32, I64]:
    """All runs of `length` words of each text, repeated ones too, and how many each text has.

    A text of fewer words is one run of all of them; one without words is its characters other than blanks.
    """
    words = words_of(texts)
    counts = np.maximum(words.counts - length + 1, 1)
    shingles = np.zeros(int(counts.sum()), np.uint64)
    starts = np.cumsum(counts) - counts
    long = words.counts >= length
    shingles[np.repeat(long, counts)] = runs_of(words, length)[0]
    first_word = np.cumsum(words.counts) - words.counts
    for short in np.unique(words.counts[~long & (words.counts > 0)]).tolist():
        rows = np.flatnonzero(words.counts == short)
        those = words.hashes[first_word[rows][:, None] + np.arange(short)].reshape(-1)
        shingles[starts[rows]] = runs_of(Words(those, np.full(len(rows), short)), short)[0]
    for row in np.flatnonzero(words.counts == 0).tolist():
        shingles[starts[row]] = _without_words(texts[row])
    return (shingles >> np.uint64(32)).astype(np.uint32), counts


def blocks(shingles: U32, counts: I64) -> Iterator[Block]:
    """The texts by length, in matrices of at most `BLOCK` shingles, or of one text."""
    starts = np.cumsum(counts) - counts
    order = np.argsort(counts, kind="stable")
    at = 0
    while at < len(order):
        # As many texts as fit when all are as long as the longest of them.
        size = min(max(BLOCK // int(counts[order[at]]), 1), len(order) - at)
        while size > 1 and size * int(counts[order[at + size - 1]]) > BLOCK:
            size = max(BLOCK // int(counts[order[at + size - 1]]), size // 2, 1)
        rows = order[at : at + size]
        longest = int(counts[rows[-1]])
        columns = np.minimum(np.arange(longest), counts[rows, None] - 1)
        yield Block(rows, shingles[starts[rows, None] + columns])
        at += size


def sets_of(found: Sequence[Block], num_texts: int) -> Sets:
    """The sets of texts that lie in blocks."""
    ordered = [np.sort(block.shingles, axis=1) for block in found]
    new = [np.diff(block.astype(np.int64), axis=1, prepend=-1) != 0 for block in ordered]
    counts = np.zeros(num_texts, np.int64)
    for block, first in zip(found, new, strict=True):
        counts[block.rows] = first.sum(axis=1)
    starts = np.cumsum(counts) - counts
    values = np.zeros(int(counts.sum()), np.uint32)
    for block, shingles, first in zip(found, ordered, new, strict=True):
        values[ranges(starts[block.rows], counts[block.rows])] = shingles[first]
    return Sets(values, counts)


def jaccard(left: Sets, right: Sets) -> F64:
    """The share of common shingles among all of two texts, for each text of `left` with that of `right`."""
    both = np.concatenate([_numbered(left), _numbered(right)])
    both.sort(kind="stable")  # two ascending runs: a merge
    twice = both[1:][both[1:] == both[:-1]]
    common = np.bincount((twice >> np.uint64(32)).astype(np.int64), minlength=len(left.counts))
    return common / (left.counts + right.counts - common)


def _numbered(sets: Sets) -> U64:
    numbers = np.repeat(np.arange(len(sets.counts), dtype=np.uint64), sets.counts)
    return (numbers << np.uint64(32)) | sets.values


def _without_words(text: str) -> np.uint64:
    codes = codes_of("".join(folded(text).split())).astype(np.uint64)
    found = np.zeros(1, np.uint64)
    for code in codes:
        found = mixed(found ^ code)
    return np.uint64(found[0])
