"""Rows that are alike: near copies by their words (MinHash), and rows of the same meaning by their vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.similar.candidates import link
from tunesmith.data.methods.similar.minhash import curve
from tunesmith.data.methods.similar.sketches import sketch_all
from tunesmith.data.room import Room
from tunesmith.records import Record

SHINGLE = 3
"""Words a shingle, where nothing else is asked for."""


def similar_groups(records: Sequence[Record], threshold: float, room: Room) -> npt.NDArray[np.int64]:
    """The number of the group each record is in: near copies have the same, whatever their labels.

    Args:
        records: may lie on disk.
        threshold: the Jaccard similarity of their runs of three words from which two records are near copies. Records
            that are alike only through others are in one group too, so that no group parts copies.
        room: where the work is done.

    Returns:
        [N] numbers from 0, in the order in which the groups first appear.
    """
    with sketch_all(records, room, curve(threshold), "content", SHINGLE) as sketches:
        first = link(sketches, threshold)[0].groups()
    return np.unique(first, return_inverse=True)[1].astype(np.int64)
