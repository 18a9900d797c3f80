"""How alike texts are, and whether a new one stands too near to one that is there already.

Likeness is the Jaccard index over a text's words and pairs of neighbouring words, so that order counts too. Rows that
reach a threshold are found exactly: of two such sets ordered alike, rarest first, the beginnings must have something
in common (prefix filtering, Bayardo, Ma and Srikant 2007), and only beginnings are kept, in arrays.

F features of a text, P features in all beginnings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.augmenting.words import words_of
from tunesmith.data.room import Room
from tunesmith.records import Record

Features = npt.NDArray[np.uint32]
_MOST = 20
"""Features are counted in at most 2^20 buckets; two that share one are both taken for more common than they are."""


def features_of(text: str) -> Features:
    """Digests [F] of its words and pairs of neighbouring words, case and punctuation left out, sorted."""
    words = [word.text.casefold().encode("utf-8", "surrogatepass") for word in words_of(text)]
    pairs = [b" ".join(pair) for pair in pairwise(words)]
    return np.unique(np.array([crc32(each) for each in (*words, *pairs)], dtype=np.uint32))


def likeness(one: Features, other: Features) -> float:
    """The Jaccard index of two sets of features; two empty ones are the same."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    total = len(one) + len(other) - common
    return common / total if total else 1.0


class Neighbours:
    """Rows that new ones must not be too much like.

    Args:
        records: those there are; read again when one may be near.
        room: its cores measure them.
        text: what of a record is compared.
        threshold: the likeness from which on rows are found, 0 to 1.
    """

    def __init__(self, records: Sequence[Record], room: Room, text: Callable[[Record], str], threshold: float) -> None:
        self._records, self._text, self._threshold = records, text, threshold
        self._counts = np.zeros(1 << min(_MOST, 8 + len(records).bit_length()), dtype=np.int64)
        for found in room.map(partial(_features_of, text), records):
            self._counts[found % len(self._counts)] += 1
        beginnings = []
        self._sizes = np.zeros(len(records), dtype=np.int32)
        for place, found in enumerate(room.map(partial(_features_of, text), records)):
            self._sizes[place] = len(found)
            beginnings.append(self._beginning(found))
        places = np.repeat(np.arange(len(records), dtype=np.int32), [len(each) for each in beginnings])
        heads = np.concatenate([np.zeros(0, np.uint32), *beginnings])
        order_P = np.argsort(heads, kind="stable")
        self._heads_P, self._places_P = heads[order_P], places[order_P]

    def all(self, found: Features) -> Iterator[int]:
        """The places of rows that are at least so much like a text with these features, one after the other."""
        for place in self._candidates(found):
            if likeness(found, features_of(self._text(self._records[place]))) >= self._threshold:
                yield place

    def _candidates(self, found: Features) -> Iterator[int]:
        if not len(found):
            yield from np.flatnonzero(self._sizes == 0).tolist()
            return
        heads = self._beginning(found)
        starts = np.searchsorted(self._heads_P, heads, side="left")
        ends = np.searchsorted(self._heads_P, heads, side="right")
        places = [self._places_P[start:end] for start, end in zip(starts, ends, strict=True)]
        unique = np.unique(np.concatenate([np.zeros(0, np.int32), *places]))
        sizes = self._sizes[unique]
        low, high = self._threshold * len(found), len(found) / max(self._threshold, 1e-9)
        yield from unique[(sizes >= low - 1e-9) & (sizes <= high + 1e-9)].tolist()

    def _beginning(self, found: Features) -> Features:
        """The rarest features, as many as two sets of this likeness must share one of."""
        count = len(found) - math.ceil(self._threshold * len(found) - 1e-9) + 1
        order = np.lexsort((found, self._counts[found % len(self._counts)]))
        beginning: Features = found[order[: min(count, len(found))]]
        return beginning


def _features_of(text: Callable[[Record], str], record: Record) -> Any:
    return features_of(text(record))
