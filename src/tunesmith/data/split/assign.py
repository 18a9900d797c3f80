"""Places every row in a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tunesmith.data.room import Room
from tunesmith.data.split.copies import near_copies, refuse_near_copies
from tunesmith.data.split.facts import FREE, SPLITS, Facts, Numbers, Places, gather
from tunesmith.data.split.folds import folds
from tunesmith.data.split.share import Units, make_units, share_out
from tunesmith.errors import DataError, did_you_mean
from tunesmith.records import Record
from tunesmith.spec.sections import Split, SplitRule

TRAIN, TEST = SPLITS.index("train"), SPLITS.index("test")
COPY, UNKNOWN = -1, -2
LEFT_OUT: Mapping[int, str] = {
    COPY: "nearly equals a row that a source fixes to a split",
    UNKNOWN: "no value in the column that rows are ordered by",
}
"""Why a row is in no split, by what stands in its place."""

Shares = dict[int, float]
"""Number of a split -> its share."""


def assign(records: Sequence[Record], rule: SplitRule, fixed: Mapping[str, Split], room: Room | None = None) -> Places:
    """Places every record in a split.

    A split that holds fixed rows gets no others: the published test rows stay the whole test set, and the remaining
    rows are shared out among the other splits in proportion to their shares. Of near-copies of a fixed row those in
    sources that are divided are left out.

    Args:
        records: all of them, with the columns named by `rule` among their slices; read once, and once more where
            near-copies are looked for.
        rule: shares and what they are divided by. `stratify` None means the label where records carry labels and no
            group is set.
        fixed: record id -> the split its source says.
        room: what near-copies are looked for with, and where is told what was found.

    Returns:
        For each record an index into SPLITS, or a key of LEFT_OUT.

    Raises:
        DataError: there are too few rows, groups, times or values for every split to get one.
        GateFailed: near-copies stand in different splits, and the rule refuses that.
    """
    room = room or Room()
    if rule.fold is not None:
        places_N = folds(records, rule, rule.fold.of, fixed, room)[rule.fold.number - 1]
        _tell(places_N, room)
        return places_N
    copies_N = None if rule.leakage == "ignore" else near_copies(records, rule.similarity, room)
    together_N = copies_N if rule.leakage == "together" else None
    facts = gather(records, rule, fixed, together_N, room.after)
    places_N = facts.fixed_N.copy()
    open_shares = _open_shares(rule, set(np.unique(places_N).tolist()))
    if facts.measures_N is not None:
        places_N[(places_N == FREE) & np.isnan(facts.measures_N)] = UNKNOWN
    if together_N is not None:
        _settle_copies(places_N, together_N, open_shares)
    if (places_N == FREE).any():
        units, rows = make_units(facts, places_N == FREE, together_N, rule.seed)
        _refuse_few(units, rule, open_shares)
        places_N[rows] = _divide(units, rows, facts, rule, open_shares)[units.of_N]
    _tell(places_N, room)
    if rule.leakage == "refuse" and copies_N is not None:
        refuse_near_copies(records, copies_N, places_N)
    return places_N


def _open_shares(rule: SplitRule, held: set[int]) -> Shares:
    """The shares of the splits that rows are shared out among: those no source is fixed to."""
    shares = {number: share for number, name in enumerate(SPLITS) if (share := getattr(rule, name).value) > 0}
    missing = [SPLITS[number] for number in shares if number not in held]
    if missing and held and FREE not in held:
        raise DataError(
            f"every source is fixed to a split, and none to {missing[0]}",
            where="data.sources",
            fix=f"leave `split:` out of one source, so that its rows are divided; or write `data.split.{missing[0]}: 0`"
            " and add its share to another",
        )
    # Where every wanted split is fixed, the rest is for training.
    return {number: share for number, share in shares.items() if number not in held} or {TRAIN: 1.0}


def _settle_copies(places_N: Places, copies_N: Numbers, open_shares: Shares) -> None:
    """Decides on the near-copies of fixed rows: those fixed to the test split stay, then those to validation."""
    strongest_C = np.full(int(copies_N.max(initial=-1)) + 1, FREE, np.int8)
    fixed = places_N >= 0
    np.maximum.at(strongest_C, copies_N[fixed], places_N[fixed])
    strongest_N = strongest_C[copies_N]
    bound = (strongest_N != FREE) & (places_N != strongest_N) & (places_N != UNKNOWN)
    trained = bound & (strongest_N == TRAIN) & (TRAIN in open_shares)
    places_N[bound] = COPY
    places_N[trained] = TRAIN


def _divide(units: Units, rows: Numbers, facts: Facts, rule: SplitRule, shares: Shares) -> Places:
    """The split of each unit."""
    if rule.time is not None:
        assert facts.measures_N is not None
        latest_U = _greatest(units, facts.measures_N[rows])
        return _cut(latest_U, units, shares, rule.time)
    if rule.hold_out is None and rule.hardest is None:
        return _shared(units, shares, units.order_U)
    tested_U = _held_out(units, rows, facts, rule) if rule.hold_out else _hardest(units, rows, facts, rule)
    placed_U = _shared(units, {n: s for n, s in shares.items() if n != TEST}, units.order_U[~tested_U[units.order_U]])
    placed_U[tested_U] = TEST
    return placed_U


def _shared(units: Units, shares: Shares, chosen_U: Numbers) -> Places:
    """Units in equal parts of every stratum; -1 of those not chosen."""
    names = list(shares)
    train = names.index(TRAIN) if TRAIN in shares else None
    placed_U = share_out(units, list(shares.values()), train=train, chosen_U=chosen_U)
    return np.array([*names, -1], np.int8)[placed_U]


def _greatest(units: Units, values_N: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A unit is as late, or as hard, as the latest of its rows: so nothing before a cut belongs to what is after it."""
    found_U = np.full(len(units), -np.inf)
    np.maximum.at(found_U, units.of_N, values_N)
    return found_U


def _cut(values_U: npt.NDArray[np.float64], units: Units, shares: Shares, column: str) -> Places:
    """From low to high in as many stretches as there are shares; what is equal stays together."""
    different, at_U = np.unique(values_U, return_inverse=True)
    if len(different) < len(shares):
        raise DataError(
            f"{len(different)} different values of {column!r} cannot fill {len(shares)} splits",
            where="data.split",
            fix=f"name a column of at least {len(shares)} different values, or set the share of a split to 0",
        )
    rows_before = np.concatenate([[0], np.cumsum(np.bincount(at_U, weights=units.sizes_U))])
    wanted = np.cumsum(list(shares.values())) / sum(shares.values()) * rows_before[-1]
    cuts, least = [], 1
    for number, rows in enumerate(wanted[:-1]):
        most = len(different) - (len(shares) - 1 - number)  # every later stretch needs a value too
        cuts.append(least + int(np.argmin(np.abs(rows_before[least : most + 1] - rows))))
        least = cuts[-1] + 1
    return np.array(list(shares), np.int8)[np.searchsorted(cuts, at_U, side="right")]


def _hardest(units: Units, rows: Numbers, facts: Facts, rule: SplitRule) -> npt.NDArray[np.bool_]:
    assert facts.measures_N is not None and rule.hardest is not None
    hardest_U = _greatest(units, facts.measures_N[rows])
    two = {TRAIN: 1 - rule.test.value, TEST: rule.test.value}
    tested_U: npt.NDArray[np.bool_] = _cut(hardest_U, units, two, rule.hardest) == TEST
    return tested_U


def _held_out(units: Units, rows: Numbers, facts: Facts, rule: SplitRule) -> npt.NDArray[np.bool_]:
    """Units with a row that is held out: whole, so that neither a group nor a copy reaches over."""
    assert facts.held_N is not None and rule.hold_out is not None
    values_N, column = facts.held_N[rows], rule.hold_out.column
    names = rule.hold_out.values if rule.hold_out.values is not None else _drawn(facts, rows, rule)
    unknown = [name for name in names if name not in facts.held]
    if unknown:
        some = ", ".join(map(repr, facts.held[:20])) + (" ..." if len(facts.held) > 20 else "")
        raise DataError(
            f"no row has {unknown[0]!r} in {column!r}{did_you_mean(unknown[0], facts.held)}",
            where="data.split.hold_out",
            fix=f"name values that stand there: {some}",
        )
    held_N = np.isin(values_N, [facts.held.index(name) for name in names])
    tested_U = np.zeros(len(units), bool)
    tested_U[units.of_N[held_N]] = True
    if tested_U.all() or not tested_U.any():
        raise DataError(
            f"{'all' if tested_U.all() else 'none of the'} rows to divide would be test rows, or belong with one",
            where="data.split.hold_out",
            fix="name fewer values, or another column; or write `leakage: ignore` where near-copies tie all together",
        )
    return tested_U


def _drawn(facts: Facts, rows: Numbers, rule: SplitRule) -> list[str]:
    """Values that together make up about the share of the test rows."""
    assert facts.held_N is not None and rule.hold_out is not None
    values_N = facts.held_N[rows]
    present, of_N = np.unique(values_N, return_inverse=True)
    if len(present) < 2:
        raise DataError(
            f"all rows have the same value in {rule.hold_out.column!r}",
            where="data.split.hold_out",
            fix="name a column with several values",
        )
    ordered = np.argsort([facts.held[value] for value in present])  # so that the order of the rows has no part in it
    random = np.random.default_rng([rule.seed, len(present)])
    order = ordered[random.permutation(len(present))]
    sizes = np.bincount(of_N)
    large_first = order[np.argsort(-(sizes[order] * 20 // len(rows)), kind="stable")]
    values = Units(of_N, sizes, np.zeros(len(present), np.int64), large_first)
    tested = share_out(values, [1 - rule.test.value, rule.test.value], train=None) == 1
    return [facts.held[value] for value in present[tested]]


def _refuse_few(units: Units, rule: SplitRule, shares: Shares) -> None:
    if len(units) >= len(shares):
        return
    what = f"groups of {rule.group!r}" if rule.group else "usable rows"
    tied = "; near-copies count as one, `data.split.leakage: ignore` divides them" if rule.leakage == "together" else ""
    raise DataError(
        f"{len(units)} {what} cannot fill {len(shares)} splits ({', '.join(SPLITS[number] for number in shares)})",
        where="data.split",
        fix=f"give at least {len(shares)} {what}, or set the share of a split to 0{tied}",
    )


def _tell(places_N: Places, room: Room) -> None:
    for code, reason in LEFT_OUT.items():
        count = int((places_N == code).sum())
        if count:
            room.note(f"{count} {'row is' if count == 1 else 'rows are'} in no split: {reason}")
