"""Splits by time, by whole values, by difficulty, with near-copies together; and folds."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.test_data_split import rows, rule

from tunesmith.data.split import LEFT_OUT, SPLITS, assign, folds, split
from tunesmith.data.split.values import moment
from tunesmith.errors import DataError, GateFailed
from tunesmith.records import Record
from tunesmith.spec.data import Fold
from tunesmith.spec.sections import Data, HoldOut, SplitRule

TRAIN, VALIDATION, TEST = range(3)


def with_columns(count: int, **columns: Any) -> list[Record]:
    return rows(count, labels=3, **columns)


# Times


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-05-31", "2024-05-31T00:00:00"),
        ("2024-05-31T14:30:00Z", "2024-05-31T14:30:00"),
        ("2024-05-31 14:30:00+02:00", "2024-05-31T12:30:00"),
        ("2024-05", "2024-05-01T00:00:00"),
        ("20240531", "2024-05-31T00:00:00"),
        ("1945", "1945-01-01T00:00:00"),
        ("31-May-2024", "2024-05-31T00:00:00"),
        ("31 May 2024 14:30", "2024-05-31T14:30:00"),
        ("Fri, 31 May 2024 14:30:00 +0200", "2024-05-31T12:30:00"),
        ("May 31, 2024", "2024-05-31T00:00:00"),
        ("1717165800", "2024-05-31T14:30:00"),
        ("1717165800000", "2024-05-31T14:30:00"),
        ("1717165800.0", "2024-05-31T14:30:00"),
    ],
)
def test_times_are_read_as_people_write_them(written: str, meant: str) -> None:
    assert moment(written) == datetime.fromisoformat(meant).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "written", ["", "(missing)", "05/06/2024", "yesterday", "31-Foo-2024", "2024-13-01", "31 May 2024 noon"]
)
def test_what_is_no_time_is_none(written: str) -> None:
    assert math.isnan(moment(written))


@given(st.lists(st.integers(0, 12), min_size=8, max_size=80), st.integers(0, 3), st.booleans())
def test_no_row_is_older_than_one_of_an_earlier_split(days: list[int], seed: int, grouped: bool) -> None:
    records = with_columns(len(days), day=lambda n: f"2024-05-{days[n] + 1:02d}", g=lambda n: n % 5)
    how = rule(time="day", seed=seed, group="g" if grouped else None)
    try:
        splits = split(records, how, {})
    except DataError as error:
        assert len(set(days)) < 3 or grouped
        assert "cannot fill 3 splits" in error.what
        return
    assert sum(map(len, splits.values())) == len(days) and all(splits.values())
    if not grouped:
        spans = [[record.slices["day"] for record in splits[name]] for name in SPLITS]
        assert max(spans[0]) < min(spans[1]) and max(spans[1]) < min(spans[2])
    else:
        newest = [
            {
                g: max(r.slices["day"] for r in records if r.slices["g"] == g)
                for g in {r.slices["g"] for r in splits[name]}
            }
            for name in SPLITS
        ]
        assert max(newest[0].values()) < min(newest[1].values()) and max(newest[1].values()) < min(newest[2].values())
        assert sum(map(len, newest)) == len({g for groups in newest for g in groups})


def test_shares_of_time_are_met_where_times_differ() -> None:
    records = with_columns(1000, at=lambda n: 1_700_000_000 + n * 977 % 1000)
    assert [len(part) for part in split(records, rule(time="at"), {}).values()] == [800, 100, 100]


def test_rows_without_a_time_are_left_out_and_too_many_are_refused_by_name() -> None:
    records = with_columns(100, day=lambda n: "(missing)" if n in (7, 50) else f"2024-{n % 12 + 1:02d}-01")
    places = assign(records, rule(time="day"), {})
    assert [LEFT_OUT[place] for place in places[[7, 50]].tolist()] == [
        "no value in the column that rows are ordered by"
    ] * 2
    assert (places >= 0).sum() == 98
    records = with_columns(100, day=lambda n: "soon" if n % 10 == 3 else "2024-05-01")
    with pytest.raises(DataError, match=r"10 of 100 rows have no time in the column 'day': rows.jsonl:3 \('soon'\)"):
        assign(records, rule(time="day"), {})


def test_one_day_cannot_be_divided_by_days() -> None:
    with pytest.raises(DataError, match="1 different values of 'day' cannot fill 3 splits"):
        assign(with_columns(30, day=lambda n: "2024-05-01"), rule(time="day"), {})


def test_published_test_rows_stay_and_the_rest_is_divided_by_time() -> None:
    records = with_columns(50, year=lambda n: 1950 + n)
    splits = split(records, rule(time="year"), {record.id: "test" for record in records[:5]})
    assert splits["test"] == records[:5]
    assert [record.slices["year"] for record in splits["validation"]] == [str(1950 + n) for n in range(45, 50)]


# Whole values


def test_named_values_are_the_test_rows_and_the_rest_is_spread() -> None:
    records = with_columns(300, region=lambda n: ("north", "south", "east")[n // 100])
    splits = split(records, rule(hold_out=HoldOut(column="region", values=["north"])), {})
    assert [record.slices["region"] for record in splits["test"]] == ["north"] * 100
    assert len(splits["validation"]) == pytest.approx(200 / 9, abs=1)
    spread = Counter(record.label for record in splits["validation"])
    assert max(spread.values()) - min(spread.values()) <= 1


@given(st.integers(2, 9), st.integers(0, 4), st.randoms(use_true_random=False))
def test_drawn_values_are_whole_near_the_share_and_do_not_depend_on_order(values: int, seed: int, random: Any) -> None:
    records = with_columns(90, region=lambda n: f"r{n % values}")
    how = rule(0.6, 0.1, 0.3, hold_out=HoldOut(column="region"), seed=seed)
    splits = split(records, how, {})
    tested = {record.slices["region"] for record in splits["test"]}
    assert tested and not tested & {r.slices["region"] for name in SPLITS[:2] for r in splits[name]}
    assert abs(len(splits["test"]) - 27) <= math.ceil(90 / values)
    shuffled = list(records)
    random.shuffle(shuffled)
    assert {r.id for r in split(shuffled, how, {})["test"]} == {r.id for r in splits["test"]}


def test_a_group_with_a_held_out_row_is_tested_whole() -> None:
    records = with_columns(60, region=lambda n: "north" if n < 10 else "south", customer=lambda n: n % 20)
    splits = split(records, rule(hold_out=HoldOut(column="region", values=["north"]), group="customer"), {})
    assert {record.slices["customer"] for record in splits["test"]} == {str(n) for n in range(10)}
    assert len(splits["test"]) == 30


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["nroth"], r"no row has 'nroth' in 'region' \(did you mean 'north'"),
        (["north", "south"], "all rows|all rows to divide|all"),
    ],
)
def test_values_that_do_not_divide_are_refused(values: list[str], said: str) -> None:
    records = with_columns(40, region=lambda n: ("north", "south")[n % 2])
    with pytest.raises(DataError, match=said):
        assign(records, rule(hold_out=HoldOut(column="region", values=values)), {})


def test_a_column_of_one_value_cannot_be_held_out() -> None:
    with pytest.raises(DataError, match="the same value in 'region'"):
        assign(with_columns(40, region=lambda n: "north"), rule(hold_out=HoldOut(column="region")), {})


# Difficulty


@given(st.lists(st.integers(1, 200), min_size=10, max_size=60, unique=True), st.integers(0, 3))
def test_the_longest_rows_are_the_test_rows(lengths: list[int], seed: int) -> None:
    records = [Record(f"r{n}", f"s:{n}", text="x" * length, labels=("a",)) for n, length in enumerate(lengths)]
    splits = split(records, rule(hardest="length", seed=seed), {})
    longest = max(len(r.text or "") for name in SPLITS[:2] for r in splits[name])
    assert min(len(r.text or "") for r in splits["test"]) > longest
    assert abs(len(splits["test"]) - len(lengths) / 10) <= 1


def test_a_column_of_numbers_says_how_hard_rows_are() -> None:
    records = with_columns(100, level=lambda n: n % 5 + 1)
    assert {r.slices["level"] for r in split(records, rule(hardest="level"), {})["test"]} == {"5"}
    with pytest.raises(DataError, match="have no number in the column 'level'"):
        assign(with_columns(20, level=lambda n: "hard"), rule(hardest="level"), {})


# Near-copies


def said_twice(count: int) -> list[Record]:
    """Rows of thirty words of their own, each once more with another last word."""
    made = []
    for n in range(count):
        words = [f"w{n}x{k}" for k in range(30)]
        made += [Record(f"r{n}.{k}", f"rows.jsonl:{2 * n + k}", text=" ".join([*words, str(k)])) for k in range(2)]
    return made


@given(st.integers(0, 5), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=15)
def test_near_copies_stay_together_in_any_order(seed: int, random: Any) -> None:
    records = said_twice(30)
    splits = split(records, rule(seed=seed), {})
    assert [len(part) for part in splits.values()] == [48, 6, 6]
    where = {record.id: name for name, part in splits.items() for record in part}
    assert all(where[f"r{n}.0"] == where[f"r{n}.1"] for n in range(30))
    shuffled = random.sample(records, len(records))
    again = {record.id: name for name, part in split(shuffled, rule(seed=seed), {}).items() for record in part}
    assert again == where


def test_near_copies_join_groups() -> None:
    records = said_twice(12)
    grouped = [Record(r.id, r.source, text=r.text, slices={"g": str((n + 1) // 2 % 12)}) for n, r in enumerate(records)]
    with pytest.raises(DataError, match="1 groups of 'g' cannot fill 3 splits"):
        split(grouped, rule(group="g"), {})  # each copy stands in the next group: all are tied
    assert sum(map(len, split(grouped, rule(group="g", leakage="ignore"), {}).values())) == 24
    assert sum(map(len, split(grouped, rule(group="g", similarity=1.0), {}).values())) == 24


def test_near_copies_across_splits_are_refused_by_name() -> None:
    with pytest.raises(GateFailed, match=r"rows? nearly equals? one of another split: rows\.jsonl:\d+ and") as caught:
        assign(said_twice(30), rule(leakage="refuse"), {})
    assert "leakage: together" in caught.value.fix
    with pytest.raises(GateFailed, match="nearly equal"):
        folds(said_twice(30), rule(leakage="refuse"), 3)
    assert (assign(rows(30), rule(leakage="refuse"), {}) >= 0).all()


def test_near_copies_of_published_test_rows_are_left_out() -> None:
    records = said_twice(20)
    fixed: dict[str, Any] = {f"r{n}.0": "test" for n in range(5)}
    fixed |= {"r5.0": "train", "r5.1": "test", "r6.0": "train"}
    places = assign(records, rule(0.6, 0.2, 0.2), fixed)
    where = dict(zip((record.id for record in records), places.tolist(), strict=True))
    assert [where[f"r{n}.1"] for n in range(5)] == [-1] * 5 and where["r5.0"] == -1
    assert where["r6.1"] == -1  # training rows are fixed too: nothing is divided into them
    assert all(where[f"r{n}.0"] == TEST for n in range(5))
    assert LEFT_OUT[-1] == "nearly equals a row that a source fixes to a split"


def test_copies_of_fixed_training_rows_are_trained_where_others_are() -> None:
    records = said_twice(20)
    fixed: Any = {"r0.0": "train", "r1.0": "validation", "r2.0": "test"}
    places = assign(records, rule(), fixed)  # every split is fixed, so the rest is for training
    where = dict(zip((record.id for record in records), places.tolist(), strict=True))
    assert (where["r0.1"], where["r1.1"], where["r2.1"]) == (TRAIN, -1, -1)


@given(st.integers(0, 3))
@settings(deadline=None, max_examples=5)
def test_folds_keep_near_copies_together(seed: int) -> None:
    records = said_twice(20)
    for places in folds(records, rule(seed=seed), 4):
        assert (places[0::2] == places[1::2]).all()


# Rules that do not go together


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"time": "t", "hardest": "length"}, "time and hardest each say which rows are the test rows"),
        ({"time": "t", "stratify": "label"}, "stratify cannot be kept to where time decides"),
        ({"time": "t", "train": "90%", "validation": "10%", "test": 0}, "test has no share"),
    ],
)
def test_rules_that_exclude_each_other_are_refused(settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SplitRule.model_validate(settings_)


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = {"train": 0.5, "time": "t", "stratify": "c", "group": "c", "hold_out": "r", "hardest": "length"}
    with pytest.raises(ValidationError) as caught:
        SplitRule.model_validate(wrong)
    said = str(caught.value)
    assert all(
        part in said for part in ("add up to 1", "same column", "stratify cannot", "time and hold_out and hardest")
    )


def test_a_source_of_test_rows_leaves_nothing_to_hold_out() -> None:
    sources = ["a.jsonl", {"path": "b.jsonl", "split": "test"}]
    Data.model_validate({"sources": sources, "split": {"time": "year"}})
    with pytest.raises(ValidationError, match=r"split\.hold_out says others"):
        Data.model_validate({"sources": sources, "split": {"hold_out": "region"}})


# Folds


@settings(deadline=None)
@given(st.integers(12, 90), st.integers(2, 5), st.integers(0, 3), st.booleans(), st.randoms(use_true_random=False))
def test_folds_test_every_row_once_and_keep_groups_and_strata(
    count: int, k: int, seed: int, grouped: bool, random: Any
) -> None:
    records = rows(count, labels=2, g=lambda n: n // 2)
    how = rule(seed=seed, group="g" if grouped else None)
    found = folds(records, how, k)
    tested = np.stack([places == TEST for places in found])
    assert len(found) == k and (tested.sum(axis=0) == 1).all()
    sizes = tested.sum(axis=1)
    assert sizes.max() - sizes.min() <= 2
    for places in found:
        rest = int((places != TEST).sum())
        assert 1 <= int((places == VALIDATION).sum()) <= rest / 9 + 2 and (places == TRAIN).any()
        if grouped:
            assert (places[0 : count // 2 * 2 : 2] == places[1::2]).all()
        else:
            labels = np.array([record.label == "l0" for record in records])
            assert abs(int(labels[places == TEST].sum()) - labels.sum() / k) <= 1.5
    order = random.sample(range(count), count)
    for one, other in zip(found, folds([records[at] for at in order], how, k), strict=True):
        assert (one[order] == other).all()


def test_a_fold_is_one_of_those_that_test_every_row_once() -> None:
    records, how = rows(40, labels=2), rule()
    for number, places in enumerate(folds(records, how, 4), 1):
        one = how.model_copy(update={"fold": Fold(number=number, of=4)})
        assert (assign(records, one, {}) == places).all()


def test_folds_of_whole_values() -> None:
    records = with_columns(60, region=lambda n: n % 4, day=lambda n: n % 3)
    for how in (rule(hold_out=HoldOut(column="region")), rule(hold_out=HoldOut(column="region"), group="day")):
        if how.group:
            with pytest.raises(DataError, match="cannot fill 4 folds"):
                folds(records, how, 4)  # each day is in each region: all rows belong together
            continue
        regions = np.array([record.slices["region"] for record in records])
        found = folds(records, how, 3)
        tested = [set(regions[places == TEST].tolist()) for places in found]
        assert sum(map(len, tested)) == 4 and set().union(*tested) == {"0", "1", "2", "3"}
        assert all(not set(regions[p == TEST]) & set(regions[p != TEST]) for p in found)


@pytest.mark.parametrize(
    "how", [rule(time="c"), rule(hardest="length"), rule(hold_out=HoldOut(column="c", values=["1"]))]
)
def test_folds_refuse_a_rule_that_says_what_is_tested(how: SplitRule) -> None:
    with pytest.raises(DataError, match="does not go with that"):
        folds(with_columns(20, c=lambda n: n), how, 3)


def test_folds_refuse_fixed_rows_and_too_few() -> None:
    with pytest.raises(DataError, match="fixed to a split"):
        folds(rows(20), rule(), 3, {"r1": "test"})
    with pytest.raises(DataError, match="4 usable rows cannot fill 4 folds"):
        folds(rows(4), rule(), 4)
    folds(rows(4), rule(0.9, 0.0, 0.1), 4)
