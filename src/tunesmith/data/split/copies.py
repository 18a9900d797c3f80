"""Rows that stand in two splits, word for word or nearly so. N rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from tunesmith.data.digest import digest
from tunesmith.data.room import Room, Told, silent, telling
from tunesmith.data.split.facts import SPLITS, Numbers, Places
from tunesmith.errors import GateFailed
from tunesmith.records import Record
from tunesmith.spec.sections import Split

_NAMED = 5


def near_copies(records: Sequence[Record], similarity: float, room: Room) -> Numbers:
    """A number for each row; rows of the same number are near-copies of each other, perhaps through others."""
    from tunesmith.data.methods.similar import similar_groups

    return np.unique(np.asarray(similar_groups(records, similarity, room)), return_inverse=True)[1]


def refuse_near_copies(records: Sequence[Record], copies_N: Numbers, places_N: Places) -> None:
    """Stops when near-copies stand in different splits.

    Raises:
        GateFailed: it names the first pairs.
    """
    pairs = crossing(copies_N, places_N)
    if not len(pairs):
        return
    wanted = set(pairs[:_NAMED].ravel().tolist())
    sources = {at: record.source for at, record in enumerate(records) if at in wanted}
    named = "; ".join(f"{sources[one]} and {sources[other]}" for one, other in pairs[:_NAMED].tolist())
    raise GateFailed(
        f"{len(pairs)} {'row nearly equals' if len(pairs) == 1 else 'rows nearly equal'} one of another split: {named}",
        where="data.split",
        fix="write `data.split.leakage: together`, which keeps near-copies in one split, or put `near_dedup` into"
        " data.steps, which keeps one of them",
    )


def crossing(copies_N: Numbers, places_N: Places) -> Numbers:
    """[P, 2]: rows whose number a row of an earlier split has too, each behind the first such row."""
    inside = np.flatnonzero(places_N >= 0)
    order = inside[np.lexsort((inside, places_N[inside], copies_N[inside]))]
    fresh = np.concatenate([[True], copies_N[order][1:] != copies_N[order][:-1]])
    first = order[np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))]
    apart = places_N[first] != places_N[order]
    return np.stack([first[apart], order[apart]], axis=1)


def leaks(splits: Mapping[Split, Sequence[Record]], after: Told = silent) -> list[tuple[Record, Record]]:
    """Pairs of records with equal content in different splits: the one in the earlier split, then its copy.

    Rows are held as eight bytes each, and read again where those are equal.
    """
    names = [name for name in SPLITS if name in splits]
    ends = np.cumsum([len(splits[name]) for name in names])
    every = telling(chain.from_iterable(splits[name] for name in names), after, sum(map(len, splits.values())))
    prints_N = np.fromiter((digest(record.content()) for record in every), np.uint64)
    numbers, group_N = np.unique(prints_N, return_inverse=True)
    split_N = np.searchsorted(ends, np.arange(len(prints_N)), side="right")
    least, most = np.full(len(numbers), len(names)), np.full(len(numbers), -1)
    np.minimum.at(least, group_N, split_N)
    np.maximum.at(most, group_N, split_N)

    def at(row: int) -> Record:
        split = int(split_N[row])
        return splits[names[split]][row - (int(ends[split - 1]) if split else 0)]

    seen: dict[str, tuple[int, Record]] = {}
    found = []
    for row in np.flatnonzero((least != most)[group_N]).tolist():
        record = at(row)
        split, first = seen.setdefault(record.content(), (int(split_N[row]), record))
        if split != split_N[row]:
            found.append((first, record))
    return found


def refuse_leaks(splits: Mapping[Split, Sequence[Record]], after: Told = silent) -> None:
    """Stops when a row of one split stands in another.

    Args:
        splits: records of each.
        after: told how many were looked at, and of how many.

    Raises:
        GateFailed: it names the first rows.
    """
    found = leaks(splits, after)
    if found:
        named = "; ".join(f"{first.source} and {copy.source}" for first, copy in found[:5])
        raise GateFailed(
            f"{len(found)} {'row stands' if len(found) == 1 else 'rows stand'} in two splits: {named}",
            where="data.split",
            fix="put `exact_dedup` back into data.steps, or take the copies out of the sources fixed to a split",
        )
