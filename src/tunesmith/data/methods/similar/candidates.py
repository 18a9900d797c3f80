"""Finds rows that are alike by their words: candidates from bands, compared exactly, joined to groups."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.similar.alike import Alike
from tunesmith.data.methods.similar.sketches import Sketches
from tunesmith.data.methods.similar.words import I64

WINDOW = 64
"""Of rows that meet in a band, each is compared with so many next ones. Where more meet, those come next to each other
that meet in the following band too."""


def link(sketches: Sketches, threshold: float) -> tuple[Alike, int]:
    """Which rows are at least `threshold` alike; and how many met more than `WINDOW` others in some band, of which
    not all were compared."""
    found = Alike(sketches.count, threshold, sketches.similarity)
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
            found.compare(rows[near], rows[near + distance])
    return found, int(crowded.sum())


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
