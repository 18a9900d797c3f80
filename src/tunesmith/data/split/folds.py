"""Cross-validation: every row is tested once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tunesmith.data.room import Room
from tunesmith.data.split.copies import near_copies, refuse_near_copies
from tunesmith.data.split.facts import FREE, SPLITS, Places, gather
from tunesmith.data.split.share import joined, make_units, share_out
from tunesmith.errors import DataError
from tunesmith.records import Record
from tunesmith.spec.sections import Split, SplitRule

TRAIN, VALIDATION, TEST = map(SPLITS.index, SPLITS)


def folds(
    records: Sequence[Record],
    rule: SplitRule,
    k: int,
    fixed: Mapping[str, Split] | None = None,
    room: Room | None = None,
) -> list[Places]:
    """Divides records k times, so that each is tested in exactly one of them.

    Strata, groups and near-copies are kept to as by `assign`. Validation rows are cut from those not tested, in the
    proportion of the shares of train and validation; the share of test has no part in it. With `hold_out` naming a
    column, folds are made of its whole values.

    Args:
        records: with the columns named by `rule` among their slices.
        rule: what they are divided by.
        k: how many folds, at least 2.
        fixed: record id -> the split its source says; there must be none.
        room: what near-copies are looked for with.

    Returns:
        For each fold an index into SPLITS for each record.

    Raises:
        DataError: there are fewer rows or groups than folds, or the rule says which rows are the test rows.
        GateFailed: near-copies stand in different folds, and the rule refuses that.
    """
    room = room or Room()
    _refuse(rule, fixed or {})
    if rule.hold_out is not None and rule.group is None:  # whole values are whole groups
        rule = rule.model_copy(update={"group": rule.hold_out.column, "hold_out": None})
    copies_N = None if rule.leakage == "ignore" else near_copies(records, rule.similarity, room)
    together_N = copies_N if rule.leakage == "together" else None
    facts = gather(records, rule, {}, together_N, room.after)
    if facts.held_N is not None:
        together_N = facts.held_N if together_N is None else joined(facts.held_N, together_N)
    units, _ = make_units(facts, facts.fixed_N == FREE, together_N, rule.seed)
    validated = rule.validation.value > 0
    if len(units) < k + validated:
        raise DataError(
            f"{len(units)} {f'groups of {rule.group!r}' if rule.group else 'usable rows'} cannot fill {k} folds",
            where="evaluate.folds",
            fix=f"write at most {len(units) - validated} folds, or give more rows",
        )
    fold_U = share_out(units, [1.0] * k, train=None)
    if rule.leakage == "refuse" and copies_N is not None:
        refuse_near_copies(records, copies_N, fold_U[units.of_N])
    made = []
    for fold in range(k):
        placed_U = np.full(len(units), TEST, np.int8)
        rest = units.order_U[fold_U[units.order_U] != fold]
        if validated:
            shares = [rule.train.value, rule.validation.value]
            placed_U[rest] = share_out(units, shares, train=TRAIN, chosen_U=rest)[rest]
        else:
            placed_U[rest] = TRAIN
        made.append(placed_U[units.of_N])
    return made


def _refuse(rule: SplitRule, fixed: Mapping[str, Split]) -> None:
    if rule.says_who_is_tested is not None:
        said = f"data.split.{rule.says_who_is_tested}", "it says which rows are the test rows"
    elif fixed:
        said = "data.sources", "a source that is fixed to a split says which rows are tested"
    else:
        said = None
    if said is not None:
        raise DataError(
            f"folds test every row once, and {said[0]} does not go with that: {said[1]}",
            where="evaluate.folds",
            fix="leave one of the two out",
        )
