"""Splits: shares, strata, groups, seeds, fixed sources, stability, and no row in two of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.split import leaks, refuse_leaks, split
from tunesmith.errors import DataError, GateFailed
from tunesmith.records import Record
from tunesmith.spec.quantity import Share
from tunesmith.spec.sections import SplitRule


def rule(train: float = 0.8, validation: float = 0.1, test: float = 0.1, **settings: Any) -> SplitRule:
    return SplitRule(train=Share(train, ""), validation=Share(validation, ""), test=Share(test, ""), **settings)


def rows(count: int, labels: int = 1, **slices: Any) -> list[Record]:
    return [
        Record(
            f"r{n}",
            f"rows.jsonl:{n}",
            text=f"text {n}",
            labels=(f"l{n % labels}",),
            slices={name: str(value(n)) for name, value in slices.items()},
        )
        for n in range(count)
    ]


def sizes(splits: dict[Any, list[Record]]) -> list[int]:
    return [len(splits[name]) for name in ("train", "validation", "test")]


def test_shares_are_met_and_order_is_kept() -> None:
    splits = split(rows(1000), rule(), {})
    assert sizes(splits) == [800, 100, 100]
    for records in splits.values():
        numbers = [int(record.id[1:]) for record in records]
        assert numbers == sorted(numbers)


def test_labels_are_spread_evenly_without_being_asked() -> None:
    records = rows(900, labels=1) + [Record(f"x{n}", f"s:{n}", text=f"rare {n}", labels=("rare",)) for n in range(100)]
    splits = split(records, rule(), {})
    assert [sum(r.label == "rare" for r in splits[name]) for name in ("train", "validation", "test")] == [80, 10, 10]


def test_a_label_that_stands_once_is_trained_and_small_ones_reach_the_other_splits() -> None:
    splits = split(rows(60, labels=60), rule(), {})
    assert Counter(sizes(splits)).total() == 3
    assert all(sizes(splits))
    trained = {record.label for record in split(rows(231, labels=77), rule(), {})["train"]}
    assert trained == {f"l{n}" for n in range(77)}
    assert sizes(split(rows(231, labels=77), rule(), {})) == pytest.approx([185, 23, 23], abs=1)


def test_a_column_is_spread_when_named() -> None:
    splits = split(rows(400, channel=lambda n: "mail" if n % 10 == 0 else "web"), rule(stratify="channel"), {})
    assert [sum(r.slices["channel"] == "mail" for r in splits[n]) for n in ("train", "validation", "test")] == [
        32,
        4,
        4,
    ]


def test_groups_stay_together_and_every_split_gets_some() -> None:
    splits = split(rows(500, customer=lambda n: n // 100), rule(group="customer"), {})
    groups = [{record.slices["customer"] for record in records} for records in splits.values()]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 5
    assert sizes(splits) == [300, 100, 100]


def test_multi_label_rows_are_spread_by_their_rarest_label() -> None:
    records = [
        Record(f"r{n}", f"s:{n}", text=f"t{n}", labels=("common", "rare") if n % 20 == 0 else ("common",))
        for n in range(400)
    ]
    splits = split(records, rule(), {})
    assert [sum("rare" in r.labels for r in splits[name]) for name in ("train", "validation", "test")] == [16, 2, 2]


@given(st.integers(3, 60), st.integers(1, 6), st.integers(0, 5), st.randoms(use_true_random=False), st.booleans())
def test_division_is_total_disjoint_and_does_not_depend_on_order(
    count: int, labels: int, seed: int, random: Any, grouped: bool
) -> None:
    records = rows(count, labels=labels, group=lambda n: n % max(3, count // 2))
    how = rule(seed=seed, group="group" if grouped else None)
    splits = split(records, how, {})
    assert sorted(record.id for part in splits.values() for record in part) == sorted(record.id for record in records)
    assert all(splits.values())
    shuffled = list(records)
    random.shuffle(shuffled)
    # Rows without ids of their own are named by their place, which moves with them.
    renamed = [
        Record(f"s:{n}", f"s:{n}", text=r.text, labels=r.labels, slices=r.slices) for n, r in enumerate(shuffled)
    ]
    again = split(renamed, how, {})
    for name, part in splits.items():
        assert {record.text for record in part} == {record.text for record in again[name]}
    if grouped:
        groups = [{record.slices["group"] for record in part} for part in splits.values()]
        assert sum(map(len, groups)) == len(set().union(*groups))


def test_another_seed_divides_otherwise() -> None:
    first, second = (split(rows(100), rule(seed=seed), {})["test"] for seed in (0, 1))
    assert first != second


def test_fixed_rows_are_the_whole_of_their_split() -> None:
    records = rows(100)
    fixed = {record.id: "test" for record in records[:7]}
    splits = split(records, rule(), fixed)  # type: ignore[arg-type]
    assert splits["test"] == records[:7]
    assert sizes(splits)[:2] == pytest.approx([83, 10], abs=1)


def test_rows_left_over_when_all_splits_are_fixed_are_trained() -> None:
    records = rows(6)
    fixed = {"r0": "train", "r1": "validation", "r2": "test"}
    assert sizes(split(records, rule(), fixed)) == [4, 1, 1]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "how", "said", "fix"),
    [
        (2, rule(), "2 usable rows cannot fill 3 splits", "at least 3"),
        (9, rule(group="g"), "2 groups of 'g' cannot fill 3 splits", "at least 3 groups"),
        (1, rule(0.9, 0.0, 0.1), "cannot fill 2 splits", "at least 2"),
    ],
)
def test_too_few_rows_say_how_many_are_needed(count: int, how: SplitRule, said: str, fix: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        split(rows(count, g=lambda n: n % 2), how, {})
    assert fix in caught.value.fix


def test_a_split_without_rows_names_the_remedy() -> None:
    with pytest.raises(DataError, match="none to validation"):
        split(rows(4), rule(), {"r0": "train", "r1": "train", "r2": "test", "r3": "test"})
    splits = split(rows(4), rule(0.9, 0.0, 0.1), {"r0": "train", "r1": "train", "r2": "test", "r3": "test"})
    assert sizes(splits) == [2, 0, 2]


@given(st.lists(st.tuples(st.sampled_from(["train", "validation", "test"]), st.integers(0, 6)), max_size=30))
def test_leaks_are_those_that_brute_force_finds(placed: list[tuple[str, int]]) -> None:
    splits: Any = {"train": [], "validation": [], "test": []}
    for number, (name, text) in enumerate(placed):
        splits[name].append(Record(f"r{number}", f"s:{number}", text=f"text {text}"))
    rows = [(name, record) for name, records in splits.items() for record in records]
    firsts = {record.content(): (name, record) for name, record in reversed(rows)}
    copies = [(firsts[record.content()], name, record) for name, record in rows]
    assert leaks(splits) == [(first, record) for (at, first), name, record in copies if at != name]


def test_a_row_in_two_splits_is_refused_by_name() -> None:
    records = rows(4)
    copy = Record("copy", "other.jsonl:9", text="text 0", labels=("b",))
    splits: Any = {"train": records, "validation": [], "test": [copy]}
    assert leaks(splits) == [(records[0], copy)]
    with pytest.raises(GateFailed, match=r"rows\.jsonl:0 and other\.jsonl:9") as caught:
        refuse_leaks(splits)
    assert "exact_dedup" in caught.value.fix
    refuse_leaks({"train": [*records, records[0]], "test": []})
