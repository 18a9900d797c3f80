"""Divides records into train, validation and test.

The division depends on the records' contents, the shares and the seed, never on the order of the rows:
units (rows, or groups of rows) are visited in the order of a hash, and each goes to the split that lacks
most, within its stratum and overall.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Literal

from tunesmith.errors import DataError, GateFailed
from tunesmith.records import Record
from tunesmith.spec.sections import Split, SplitRule

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Pool = Literal["train", "validation", "test", "replay"]
"""A split of the data, or the older rows that stages replay."""


def split(records: Sequence[Record], rule: SplitRule, fixed: Mapping[str, Split]) -> dict[Split, list[Record]]:
    """Divides `records`; within each split their order is kept.

    A split that holds fixed rows gets no others: the published test rows stay the whole test set, and the
    remaining rows are shared out among the other splits in proportion to their shares.

    Args:
        records: all of them, with the columns named by `rule` among their slices.
        rule: shares, stratum, group and seed. `stratify` None means the label where records carry labels and
            no group is set.
        fixed: record id -> the split its source says.

    Raises:
        DataError: there are too few rows or groups for every split to get one.
    """
    free = [record for record in records if record.id not in fixed]
    taken = set(fixed.values())
    shares = {name: share for name in SPLITS if (share := getattr(rule, name).value) > 0}
    open_shares = {name: share for name, share in shares.items() if name not in taken}
    _refuse_gaps(shares, taken, free)
    if free and not open_shares:  # every wanted split is fixed: the rest is for training
        open_shares = {"train": 1.0}
    units = _units(free, rule)
    if free and len(units) < len(open_shares):
        raise _too_few(len(units), rule, list(open_shares))
    placed: dict[str, Split] = dict(fixed)
    for unit, name in _share_out(units, _strata(units, rule), open_shares, rule.seed):
        placed.update((record.id, name) for record in unit)
    divided: dict[Split, list[Record]] = {name: [] for name in SPLITS}
    for record in records:
        divided[placed[record.id]].append(record)
    return divided


def leaks(splits: Mapping[Split, Sequence[Record]]) -> list[tuple[Record, Record]]:
    """Pairs of records with equal content in different splits: the one in the earlier split, then its copy."""
    seen: dict[str, tuple[Split, Record]] = {}
    found = []
    for name in SPLITS:
        for record in splits.get(name, ()):
            where, first = seen.setdefault(record.content(), (name, record))
            if where != name:
                found.append((first, record))
    return found


def refuse_leaks(splits: Mapping[Split, Sequence[Record]]) -> None:
    """Stops when a row of one split stands in another.

    Raises:
        GateFailed: it names the first rows.
    """
    found = leaks(splits)
    if found:
        named = "; ".join(f"{first.source} and {copy.source}" for first, copy in found[:5])
        raise GateFailed(
            f"{len(found)} {'row stands' if len(found) == 1 else 'rows stand'} in two splits: {named}",
            where="data.split",
            fix="put `exact_dedup` back into data.steps, or take the copies out of the sources fixed to a split",
        )


def _refuse_gaps(shares: Mapping[Split, float], taken: set[Split], free: Sequence[Record]) -> None:
    missing = [name for name in shares if name not in taken]
    if missing and not free and taken:
        raise DataError(
            f"every source is fixed to a split, and none to {missing[0]}",
            where="data.sources",
            fix=f"leave `split:` out of one source, so that its rows are divided; or write `data.split.{missing[0]}: 0`"
            " and add its share to another",
        )


def _too_few(num_units: int, rule: SplitRule, names: Sequence[Split]) -> DataError:
    what = f"groups of {rule.group!r}" if rule.group else "usable rows"
    return DataError(
        f"{num_units} {what} cannot fill {len(names)} splits ({', '.join(names)})",
        where="data.split",
        fix=f"give at least {len(names)} {what}, or set the share of a split to 0",
    )


def _units(records: Sequence[Record], rule: SplitRule) -> list[list[Record]]:
    """Rows that stay together: the rows of a group, or each row alone."""
    if rule.group is None:
        return [[record] for record in records]
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.slices[rule.group]].append(record)
    return list(groups.values())


def _share_out(
    units: Sequence[list[Record]], strata: Sequence[str], shares: Mapping[Split, float], seed: int
) -> list[tuple[list[Record], Split]]:
    """Gives every unit a split: the one that lacks most rows, in the unit's stratum and overall together."""
    total = sum(map(len, units))
    sizes = Counter(strata)
    # Small strata first, so that large ones can make up for what they could not divide. Within a stratum large
    # units first (in steps of a twentieth of all rows), else the last one would overshoot.
    order = sorted(
        range(len(units)),
        key=lambda at: (sizes[strata[at]], strata[at], -(len(units[at]) * 20 // total), _place(units[at], seed)),
    )
    whole = sum(shares.values())
    overall: Counter[Split] = Counter()
    within: dict[str, Counter[Split]] = defaultdict(Counter)
    placed = []
    for left, at in zip(range(len(units), 0, -1), order, strict=True):
        inside, size = within[strata[at]], len(units[at])
        empty = [name for name in shares if not overall[name]]

        def lack(name: Split, inside: Counter[Split] = inside, size: int = size) -> float:
            return sum(shares[name] / whole * (count.total() + size) - count[name] for count in (inside, overall))

        if left <= len(empty):
            name = max(empty, key=lack)
        elif "train" in shares and not inside:
            name = "train"  # a label that stands once has to be learned before it can be tested
        else:
            name = max(shares, key=lack)
        overall[name] += size
        inside[name] += size
        placed.append((units[at], name))
    return placed


def _place(unit: Sequence[Record], seed: int) -> tuple[bytes, str]:
    """A place in the order that depends on contents; ids, which may be row numbers, only part equal contents."""
    *said, name = min((record.content(), record.labels, record.id) for record in unit)
    return blake2b(repr((seed, *said)).encode("utf-8", "surrogatepass"), digest_size=8).digest(), name


def _strata(units: Sequence[list[Record]], rule: SplitRule) -> list[str]:
    """The value each unit is spread by; one value for all when nothing is."""
    if rule.stratify is None and rule.group is not None:
        return [""] * len(units)
    column = rule.stratify or "label"
    counts = Counter(label for unit in units for record in unit for label in record.labels)

    def stratum(record: Record) -> str:
        if column in record.slices:
            return record.slices[column]
        # Of several labels the rarest decides: it is the hardest to spread.
        return min(record.labels, key=lambda label: (counts[label], label), default="")

    return [Counter(sorted(map(stratum, unit))).most_common(1)[0][0] for unit in units]
