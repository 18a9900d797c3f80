"""What dividing needs to know of every row, read once into arrays: about 50 bytes a row. N rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.data.digest import digest
from tunesmith.data.room import Told, silent, telling
from tunesmith.data.split.values import Measures
from tunesmith.records import Record
from tunesmith.spec.sections import Split, SplitRule

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
FREE = -128
"""In an array of places: not placed yet."""

Places = npt.NDArray[np.int8]
Numbers = npt.NDArray[np.int64]


@dataclass
class Facts:
    """The rows of a data set as far as dividing goes."""

    fixed_N: Places
    """Where a source says, an index into SPLITS; FREE elsewhere."""
    strata_N: Numbers
    """The number of the value each row is spread by; numbers are in the order of the values."""
    groups_N: Numbers | None
    """The number of each row's group."""
    held_N: Numbers | None
    """The number of each row's value in the column that is held out."""
    held: list[str]
    """The values of that column."""
    measures_N: npt.NDArray[np.float64] | None
    """When each row is from, or how hard it is; nan where that is not known."""
    places_N: npt.NDArray[np.uint64]
    """Each row's place in an order that depends on what it says and the seed."""
    names_N: npt.NDArray[np.uint64]
    """Parts rows that say the same."""
    keys_N: Numbers
    """The number of each row's group, or of its near-copies; -1 where it is alone."""
    least: dict[int, tuple[str, tuple[str, ...], str]]
    """By those numbers (content, labels, id) of the first of the rows by the alphabet."""


class Numbered:
    """Numbers for values, in the order in which they come."""

    def __init__(self) -> None:
        self.of: dict[Any, int] = {}

    def __call__(self, value: Hashable) -> int:
        return self.of.setdefault(value, len(self.of))


def gather(
    records: Sequence[Record],
    rule: SplitRule,
    fixed: Mapping[str, Split],
    copies_N: Numbers | None = None,
    after: Told = silent,
) -> Facts:
    """Reads all records once.

    Args:
        records: with the columns that `rule` names among their slices.
        rule: what they are divided by.
        fixed: record id -> the split its source says.
        copies_N: rows of one number are near-copies of each other.
        after: told how many were read, and of how many.

    Raises:
        DataError: too many rows have no time, or no number to say how hard they are.
    """
    count = len(records)
    fixed_N, sets_N = np.full(count, FREE, np.int8), np.zeros(count, np.int64)
    places_N, names_N = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    keys_N, held_N = np.full(count, -1, np.int64), np.zeros(count, np.int64)
    sets, groups, held = Numbered(), Numbered(), Numbered()
    column = rule.stratify or "label"
    spread = rule.stratify is not None or rule.group is None
    ordered_by = rule.time or rule.hardest
    measures = Measures(count, ordered_by, time=rule.time is not None) if ordered_by else None
    least: dict[int, tuple[str, tuple[str, ...], str]] = {}
    bound_N = None if copies_N is None else np.bincount(copies_N)[copies_N] > 1
    for at, record in enumerate(telling(records, after, count)):
        said = (record.content(), record.labels)
        places_N[at], names_N[at] = _place(rule.seed, said), digest(record.id)
        if spread:
            sets_N[at] = sets(record.slices.get(column, record.labels))
        if record.id in fixed:
            fixed_N[at] = SPLITS.index(fixed[record.id])
            continue
        if rule.group is not None:
            keys_N[at] = groups(record.slices[rule.group])
        elif copies_N is not None and bound_N is not None and bound_N[at]:
            keys_N[at] = copies_N[at]
        if (key := int(keys_N[at])) >= 0:
            here = (*said, record.id)
            least[key] = min(least.get(key, here), here)
        if rule.hold_out is not None:
            held_N[at] = held(record.slices[rule.hold_out.column])
        if measures is not None:
            measures.add(at, record)
    return Facts(
        fixed_N,
        _strata(sets, sets_N, fixed_N) if spread else sets_N,
        None if rule.group is None else keys_N,
        None if rule.hold_out is None else held_N,
        list(held.of),
        measures.close() if measures else None,
        places_N,
        names_N,
        keys_N,
        least,
    )


def place_of(seed: int, least: tuple[str, tuple[str, ...], str]) -> tuple[int, int]:
    """The place of a unit of several rows: that of the first of them by the alphabet."""
    return _place(seed, least[:2]), digest(least[2])


def _place(seed: int, said: tuple[str, tuple[str, ...]]) -> int:
    """A place in the order that depends on contents; ids, which may be row numbers, only part equal contents."""
    return digest(repr((seed, *said)))


def _strata(sets: Numbered, sets_N: Numbers, fixed_N: Places) -> Numbers:
    """The number of the value each row is spread by. Of several labels the rarest decides: it is the hardest to
    spread."""
    counts: dict[str, int] = {}
    found = np.bincount(sets_N[fixed_N == FREE], minlength=len(sets.of)).tolist()
    for labels, count in zip(sets.of, found, strict=True):
        if isinstance(labels, tuple):
            for label in labels:
                counts[label] = counts.get(label, 0) + count
    values = [
        value if isinstance(value, str) else min(value, key=lambda label: (counts[label], label), default="")
        for value in sets.of
    ]
    order = {value: number for number, value in enumerate(sorted(set(values)))}
    return np.array([order[value] for value in values], np.int64)[sets_N] if values else sets_N
