"""Divides records into train, validation and test, or into folds.

The division depends on the records' contents, the shares and the seed, never on the order of the rows: units (rows,
or rows that stay together) are visited in the order of a hash, and each goes to the split that lacks most, within its
stratum and overall. Where time, a column or difficulty says which rows are tested, it decides first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from tunesmith.data.room import Room
from tunesmith.data.split.assign import LEFT_OUT, assign
from tunesmith.data.split.copies import leaks, refuse_leaks
from tunesmith.data.split.facts import SPLITS, Places
from tunesmith.data.split.folds import folds
from tunesmith.records import Record
from tunesmith.spec.sections import Split, SplitRule

Pool = Literal["train", "validation", "test", "replay"]
"""A split of the data, or the older rows that stages replay."""

__all__ = ["LEFT_OUT", "SPLITS", "Places", "Pool", "assign", "folds", "leaks", "refuse_leaks", "split"]


def split(
    records: Sequence[Record], rule: SplitRule, fixed: Mapping[str, Split], room: Room | None = None
) -> dict[Split, list[Record]]:
    """The records of each split, in their order; see `assign`. Those that are in none are left out."""
    divided: dict[Split, list[Record]] = {name: [] for name in SPLITS}
    for record, place in zip(records, assign(records, rule, fixed, room).tolist(), strict=True):
        if place not in LEFT_OUT:
            divided[SPLITS[place]].append(record)
    return divided
