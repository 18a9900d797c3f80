"""Rows that repeat others, word for word or nearly. N rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.data.digest import digest
from tunesmith.data.methods.similar import similar_groups
from tunesmith.data.room import Room
from tunesmith.data.split.copies import crossing
from tunesmith.records import Record

CLUSTERS, SHOWN = 5, 3


def copies(records: Sequence[Record], splits_N: npt.NDArray[np.int8], similarity: float, room: Room) -> dict[str, Any]:
    """Counts rows that repeat an earlier one.

    Returns:
        exact: rows whose words, in small letters, an earlier row has; conflicts: those of them with another label;
        near: rows that nearly equal an earlier row, exact copies among them; clusters: how many rows have copies of
        their own, and largest; crossing: rows of a later split whose near-copy stands in an earlier one;
        examples: of the largest clusters some rows.
    """
    digests_N, labels_N = np.zeros(len(records), np.uint64), np.zeros(len(records), np.uint64)
    for at, record in enumerate(records):
        digests_N[at] = digest(" ".join(record.content().lower().split()))
        labels_N[at] = digest(repr(record.labels))
    exact_N = np.unique(digests_N, return_inverse=True)[1]
    first = np.unique(exact_N, return_index=True)[1][exact_N]
    repeats_N = first != np.arange(len(records))
    near_N = similar_groups(records, similarity, room) if len(records) else np.zeros(0, np.int64)
    sizes = np.bincount(near_N)
    large = [int(group) for group in np.argsort(-sizes, kind="stable")[:CLUSTERS] if sizes[group] > 1]
    return {
        "similarity": similarity,
        "exact": int(repeats_N.sum()),
        "conflicts": int((repeats_N & (labels_N != labels_N[first])).sum()),
        "near": len(records) - len(sizes),
        "clusters": int((sizes > 1).sum()),
        "largest": int(sizes.max(initial=0)),
        "crossing": len(crossing(near_N, splits_N)),
        "examples": [
            {"rows": int(sizes[group]), "at": np.flatnonzero(near_N == group)[:SHOWN].tolist()} for group in large
        ],
    }
