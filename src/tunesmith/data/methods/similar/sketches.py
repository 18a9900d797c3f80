"""What is kept of every text, in files without names: its bands, read one band after the other, and its set.

N texts, B bands. In memory stand 8 bytes a text. Of 5 million texts of 60 words some 600 MB of bands lie on disk, each
read once, and 1.2 GB of sets, read where texts are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from tunesmith.data.methods.similar.minhash import Curve, bands, signatures
from tunesmith.data.methods.similar.shingles import Sets, blocks, jaccard, sets_of, shingles_of
from tunesmith.data.methods.similar.stored import Stored
from tunesmith.data.methods.similar.texts import Compared, compared
from tunesmith.data.methods.similar.words import F64, I64, U64, ranges
from tunesmith.data.room import Room
from tunesmith.records import Record

CHUNK = 1000
"""Rows that are worked on at once."""
LETTERS = 1 << 22
"""Characters of them that are."""
COMPARED = 1 << 22
"""Shingles of pairs that are compared at once."""


class Sketch(NamedTuple):
    """What a chunk of rows comes down to."""

    keys_BN: U64
    sets: Sets


def sketch(records: Sequence[Record], what: Compared, length: int, shape: Curve) -> Sketch:
    """Bands and sets of some rows."""
    parts = [_sketch(texts, length, shape) for texts in _portions([compared(record, what) for record in records])]
    return Sketch(
        np.concatenate([part.keys_BN for part in parts], axis=1),
        Sets(*(np.concatenate(values) for values in zip(*(part.sets for part in parts), strict=True))),
    )


def _sketch(texts: Sequence[str], length: int, shape: Curve) -> Sketch:
    found = list(blocks(*shingles_of(texts, length)))
    keys_BN = np.zeros((shape.bands, len(texts)), np.uint64)
    for block in found:
        keys_BN[:, block.rows] = bands(signatures(block, shape.permutations), shape)
    return Sketch(keys_BN, sets_of(found, len(texts)))


def _portions(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts, so many at once that long ones need no more memory than short ones; one at least."""
    start, held = 0, 0
    for at, text in enumerate(texts):
        if held and held + len(text) > LETTERS:
            yield texts[start:at]
            start, held = at, 0
        held += len(text)
    yield texts[start:]


class Sketches:
    """The bands and sets of all rows. Closes its files at the end of a `with`."""

    def __init__(self, count: int, shape: Curve) -> None:
        self.count, self.shape = count, shape
        self._keys, self._values = Stored(np.uint64), Stored(np.uint32)
        self._ends = np.zeros(count + 1, np.int64)
        self.done = 0
        """Rows that have been taken in."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._keys.close()
        self._values.close()

    def add(self, found: Sketch) -> None:
        """Takes the next rows in."""
        rows = len(found.sets.counts)
        for band in range(self.shape.bands):
            self._keys.put(found.keys_BN[band], band * self.count + self.done)
        self._values.append(found.sets.values)
        self._ends[self.done + 1 : self.done + rows + 1] = self._ends[self.done] + np.cumsum(found.sets.counts)
        self.done += rows

    def keys(self, band: int) -> U64:
        """[N] of one band."""
        return self._keys.read(band * self.count, (band + 1) * self.count)

    def similarity(self, left: I64, right: I64) -> F64:
        """The exact Jaccard similarity of each row of `left` with that of `right`."""
        sizes = self._ends[left + 1] - self._ends[left] + self._ends[right + 1] - self._ends[right]
        portion = np.cumsum(sizes) // COMPARED
        borders = [0, *(np.flatnonzero(np.diff(portion)) + 1).tolist(), len(left)]
        found = np.empty(len(left))
        for start, end in pairwise(borders):
            part = slice(start, end)
            found[part] = jaccard(self._sets(left[part]), self._sets(right[part]))
        return found

    def _sets(self, rows: I64) -> Sets:
        starts = self._ends[rows]
        counts = self._ends[rows + 1] - starts
        return Sets(self._values.take(ranges(starts, counts)), counts)


@contextmanager
def sketch_all(records: Sequence[Record], room: Room, shape: Curve, what: Compared, length: int) -> Iterator[Sketches]:
    """Bands and sets of all rows, made on as many cores as there are, for as long as the block lasts."""
    with Sketches(len(records), shape) as found:
        for part in room.map_chunks(partial(sketch, what=what, length=length, shape=shape), records, CHUNK):
            found.add(part)
            room.looking(found.done, found.count)
        yield found
