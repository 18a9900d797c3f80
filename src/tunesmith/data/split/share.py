"""Shares units out among splits: units of one row, or of rows that stay together. U units, N rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunesmith.data.split.facts import Facts, Numbers, Places, place_of


@dataclass(frozen=True)
class Units:
    """What is placed as one."""

    of_N: Numbers
    """The number of each row's unit."""
    sizes_U: Numbers
    """How many rows each has."""
    strata_U: Numbers
    """The number of the value each is spread by."""
    order_U: Numbers
    """The units in the order in which they are placed."""

    def __len__(self) -> int:
        return len(self.sizes_U)


def make_units(
    facts: Facts, rows_N: npt.NDArray[np.bool_], copies_N: Numbers | None, seed: int
) -> tuple[Units, Numbers]:
    """The units of some of the rows, and which rows those are.

    Args:
        facts: of all rows.
        rows_N: the rows to divide.
        copies_N: rows of one number stay together, as do those of a group.
        seed: of the order.
    """
    rows = np.flatnonzero(rows_N)
    together = [part[rows] for part in (facts.groups_N, copies_N) if part is not None]
    if not together:
        of_N = np.arange(len(rows))
    else:
        of_N = np.unique(together[0], return_inverse=True)[1] if len(together) == 1 else joined(*together)
    sizes_U = np.bincount(of_N)
    strata_U = _most_common(of_N, facts.strata_N[rows], sizes_U)
    first_U = np.zeros(len(sizes_U), np.int64)
    first_U[of_N[::-1]] = rows[::-1]
    places_U, names_U = facts.places_N[first_U].copy(), facts.names_N[first_U].copy()
    if together:
        _place_large(facts, of_N, rows, (places_U, names_U), seed)
    return Units(of_N, sizes_U, strata_U, _order(sizes_U, strata_U, places_U, names_U)), rows


def joined(one_N: Numbers, other_N: Numbers) -> Numbers:
    """Units in which rows that share either number are together."""
    one_N, other_N = (np.unique(part, return_inverse=True)[1] for part in (one_N, other_N))
    of_N = one_N.astype(np.int64)
    while True:  # the smallest number reached through either spreads until nothing changes
        before = of_N
        for part in (other_N, one_N):
            least = np.full(int(part.max(initial=-1)) + 1, len(of_N), np.int64)
            np.minimum.at(least, part, of_N)
            of_N = least[part]
        if np.array_equal(before, of_N):
            return np.unique(of_N, return_inverse=True)[1]


def share_out(units: Units, shares: Sequence[float], *, train: int | None, chosen_U: Numbers | None = None) -> Places:
    """Gives every unit a part: the one that lacks most rows, in the unit's stratum and overall together.

    Args:
        units: what is shared out.
        shares: of the parts; any numbers above 0.
        train: the number of the part that gets the first unit of each stratum, for a label that stands once has to be
            learned before it can be tested.
        chosen_U: only these units, in this order.

    Returns:
        The number of each unit's part; -1 of those not chosen.
    """
    whole = sum(shares)
    wanted = [share / whole for share in shares]
    parts = range(len(wanted))
    overall, total = [0] * len(wanted), 0
    within: dict[int, list[int]] = {}
    placed_U = np.full(len(units), -1, np.int8)
    order = units.order_U if chosen_U is None else chosen_U
    sizes, strata = units.sizes_U[order].tolist(), units.strata_U[order].tolist()
    for at, (unit, size, stratum) in enumerate(zip(order.tolist(), sizes, strata, strict=True)):
        inside = within.get(stratum)
        fresh = inside is None
        if inside is None:
            inside = within[stratum] = [0] * (len(wanted) + 1)
        held, everything = inside[-1] + size, total + size
        lack = [wanted[p] * held - inside[p] + (wanted[p] * everything - overall[p]) for p in parts]
        empty = [p for p in parts if not overall[p]]
        if len(order) - at <= len(empty):
            part = max(empty, key=lack.__getitem__)
        elif train is not None and fresh:
            part = train
        else:
            part = lack.index(max(lack))
        overall[part] += size
        total += size
        inside[part] += size
        inside[-1] += size
        placed_U[unit] = part
    return placed_U


def _most_common(of_N: Numbers, strata_N: Numbers, sizes_U: Numbers) -> Numbers:
    """The most common stratum of each unit's rows; of equals the first by the alphabet, which numbers follow."""
    if len(of_N) == len(sizes_U):
        found = np.zeros(len(sizes_U), np.int64)
        found[of_N] = strata_N
        return found
    width = int(strata_N.max(initial=0)) + 1
    pairs, counts = np.unique(of_N * width + strata_N, return_counts=True)
    units, strata = np.divmod(pairs, width)
    order = np.lexsort((strata, -counts, units))
    first = np.unique(units[order], return_index=True)[1]
    most: Numbers = strata[order][first]
    return most


def _place_large(
    facts: Facts, of_N: Numbers, rows: Numbers, found: tuple[npt.NDArray[np.uint64], ...], seed: int
) -> None:
    """Places units of several rows by the first of their rows by the alphabet."""
    least: dict[int, tuple[str, tuple[str, ...], str]] = {}
    keyed = facts.keys_N[rows] >= 0
    width = int(facts.keys_N.max(initial=0)) + 1
    pairs = np.unique(of_N[keyed] * width + facts.keys_N[rows][keyed])
    for unit, key in zip((pairs // width).tolist(), (pairs % width).tolist(), strict=True):
        here = facts.least[key]
        least[unit] = min(least.get(unit, here), here)
    for unit, here in least.items():
        found[0][unit], found[1][unit] = place_of(seed, here)


def _order(
    sizes_U: Numbers, strata_U: Numbers, places_U: npt.NDArray[np.uint64], names_U: npt.NDArray[np.uint64]
) -> Numbers:
    """Small strata first, so that large ones can make up for what they could not divide. Within a stratum large units
    first (in steps of a twentieth of all rows), else the last one would overshoot."""
    if not len(sizes_U):
        return np.zeros(0, np.int64)
    large_U = sizes_U * 20 // int(sizes_U.sum())
    many_U = np.bincount(strata_U)[strata_U]
    return np.lexsort((names_U, places_U, -large_U, strata_U, many_U))
