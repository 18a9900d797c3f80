"""Which rows are alike: candidates from bands, compared exactly, joined to groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunesmith.data.similar.sketches import Sketches
from tunesmith.data.similar.union import Union
from tunesmith.data.similar.words import I64

WINDOW = 64
"""Of rows that meet in a band, each is compared with so many next ones. Where more meet, those come next to each other
that meet in the following band too."""


@dataclass
class Linked:
    """What was found."""

    groups: I64
    """[N] the first row of each row's group: rows that are alike, directly or through others."""
    nearest: npt.NDArray[np.float32]
    """[N] the highest similarity found to another row; nan where none was compared."""
    compared: int = 0
    """Pairs that were compared."""
    crowded: int = 0
    """Rows that met more than `WINDOW` others in some band."""


def link(sketches: Sketches, threshold: float) -> Linked:
    """Groups of rows at least `threshold` alike. Pairs whose rows are in one group already are not compared again."""
    union = Union(sketches.count)
    found = Linked(np.zeros(0, np.int64), np.full(sketches.count, np.nan, np.float32))
    crowded = np.zeros(sketches.count, bool)
    for band in range(sketches.shape.bands):
        rows, bucket = _meeting(sketches.keys(band))
        sizes = np.bincount(bucket)
        large = sizes[bucket] > WINDOW + 1
        if large.any():
            crowded[rows[large]] = True
            following = sketches.keys((band + 1) % sketches.shape.bands)[rows]
            rows = rows[np.lexsort((following, bucket))]
        for distance in range(1, min(int(sizes.max(initial=1)), WINDOW + 1)):
            near = np.flatnonzero(bucket[distance:] == bucket[:-distance])
            left, right = rows[near], rows[near + distance]
            apart = union.find(left) != union.find(right)
            _compare(left[apart], right[apart], sketches, threshold, union, found)
    found.groups = union.groups()
    found.crowded = int(crowded.sum())
    return found


def _compare(left: I64, right: I64, sketches: Sketches, threshold: float, union: Union, found: Linked) -> None:
    similarity = sketches.similarity(left, right)
    found.compared += len(left)
    for side in (left, right):
        np.fmax.at(found.nearest, side, similarity.astype(np.float32))
    alike = similarity >= threshold
    union.join(left[alike], right[alike])


def _meeting(keys: npt.NDArray[np.uint64]) -> tuple[I64, I64]:
    """Rows whose key another row has too, in buckets of equal keys, and the number of each one's bucket."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    meets = np.zeros(len(keys), bool)
    meets[1:] |= same
    meets[:-1] |= same
    first = np.ones(len(keys), bool)
    first[1:] = ~same
    return order[meets], np.cumsum(first[meets]) - 1
