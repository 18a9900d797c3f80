"""What an epoch holds: mixtures, replay and curricula, counted by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.encode.tokenize import Example
from tunesmith.errors import DataError, SpecError
from tunesmith.records import Record
from tunesmith.spec.load import parse
from tunesmith.spec.quantity import Batch
from tunesmith.spec.sections import Data, Replay
from tunesmith.train.order.batches import Batches
from tunesmith.train.order.epochs import Order, order_of


def data(*weights: float, **settings: Any) -> Data:
    sources = [{"path": f"{number}.jsonl", "weight": weight} for number, weight in enumerate(weights)]
    return Data.model_validate({"sources": sources, **settings})


def rows(*sizes: int) -> tuple[list[Example], list[Record]]:
    """So many rows of each source, of lengths 2, 3, 4 and so on, with a level that falls as they grow."""
    records = [Record(f"{origin}-{n}", f"{origin}.jsonl:{n}", origin=origin, slices={"level": str(-n)})
               for origin, size in enumerate(sizes) for n in range(1, size + 1)]  # fmt: skip
    return [example(int(record.id.partition("-")[2]) + 1) for record in records], records


def example(length: int) -> Example:
    ids = np.ones(length, dtype=np.int32)
    return Example("r", ids, ids.astype(np.bool_), np.zeros(length, dtype=np.uint8))


def drawn(order: Order) -> list[int]:
    return [source.count for source in order.sources]


def epoch(order: Order, number: int, seed: int = 0, lengths: list[int] | None = None) -> list[int]:
    """The indices of an epoch as steps of one row take them."""
    count = sum(len(source.rows) for source in order.sources)
    steps = Batches(lengths or [5] * count, batch=Batch(1, "rows"), seed=seed, order=order).epoch(number)
    return [row for micros in steps for rows in micros for row in rows]


@pytest.mark.parametrize(
    ("weights", "sizes", "mixture", "expected"),
    [
        ((1, 1), (90, 10), None, [90, 10]),
        ((1, 1), (90, 10), {"temperature": 1.0}, [90, 10]),
        ((1, 1), (90, 10), {"temperature": 2.0}, [75, 25]),  # sqrt 90 : sqrt 10 = 3 : 1
        ((1, 1), (90, 10), {"temperature": 1e9}, [50, 50]),
        ((1, 3), (75, 25), {"temperature": 1.0}, [50, 50]),
        ((1, 3), (90, 10), {"temperature": 2.0}, [50, 50]),
        ((1, 3), (90, 10), {"temperature": 2.0, "weight": "loss"}, [75, 25]),
        ((1, 1, 1), (50, 50, 1), {"temperature": 1e9}, [34, 34, 33]),
        ((1, 1e-9), (50, 50), {"temperature": 1.0}, [100, 1]),  # none is left out for good
    ],
)
def test_an_epoch_holds_what_the_mixture_says(weights, sizes, mixture, expected):
    order = order_of(*rows(*sizes), data(*weights, mixture=mixture), None)
    assert drawn(order) == expected
    origin = [number for number, size in enumerate(sizes) for _ in range(size)]
    seen = Counter(origin[row] for row in epoch(order, 0))
    assert [seen[number] for number in range(len(sizes))] == expected


@given(st.integers(1, 20), st.integers(1, 70), st.integers(0, 3))
def test_rows_of_a_source_are_seen_equally_often(size, count, seed):
    others = max(1, count)
    order = order_of(*rows(size, others), data(count / size, 1e-9, mixture={}), None)
    held = order.sources[0]
    total: Counter[int] = Counter()
    for number in range(5):
        seen = Counter(held.of_epoch(number, seed).tolist())
        assert seen.total() == held.count and set(seen) <= set(range(size))
        assert max(seen.values()) - min(seen[row] for row in range(size)) <= 1
        assert held.unseen == size - len(seen)
        total += seen
    assert max(total.values()) - min(total[row] for row in range(size)) <= 1, "over the epochs they take turns"


def test_the_order_is_a_function_of_seed_and_epoch():
    order = order_of(*rows(30, 7), data(1, 3, mixture={}), None)
    assert [epoch(order, number) for number in (0, 1, 2)] == [epoch(order, number) for number in (2, 1, 0)][::-1]
    assert epoch(order, 0, seed=1) != epoch(order, 0, seed=2)
    assert sorted(epoch(order, 0)) != sorted(epoch(order, 1)), "other rows wait in another epoch"


def test_a_plain_order_is_every_row_once():
    assert drawn(Order.plain(9)) == [9]
    assert sorted(epoch(Order.plain(9), 3)) == list(range(9))


@pytest.mark.parametrize(
    ("share", "older", "expected"), [("10%", 20, 10), ("50%", 20, 90), ("25%", 100, 30), (0.001, 20, 1)]
)
def test_replayed_rows_make_the_share_that_was_asked_for(share, older, expected):
    replay = Replay.model_validate({"source": "old.jsonl", "share": share})
    order = order_of(*rows(60, 30, older), data(1, 1), replay)
    assert drawn(order) == [60, 30, expected]
    for number in range(4):
        seen = epoch(order, number)
        assert sorted(row for row in seen if row < 90) == list(range(90)), "new rows stay once an epoch"
        assert sum(row >= 90 for row in seen) == expected
    if share != 0.001:
        assert expected / (90 + expected) == pytest.approx(replay.share.value)


def test_replay_comes_on_top_of_a_mixture():
    replay = Replay.model_validate({"source": "old.jsonl", "share": "20%"})
    order = order_of(*rows(90, 10, 40), data(1, 1, mixture={"temperature": 2.0}), replay)
    assert drawn(order) == [75, 25, 25]


def test_a_stage_that_can_learn_no_older_row_is_refused():
    replay = Replay.model_validate({"source": "run:old/1", "share": "20%"})
    with pytest.raises(DataError, match="none of the rows of run:old/1"):
        order_of(*rows(9), data(1), replay)


def flat(steps: list[list[int]]) -> list[int]:
    return [length for step in steps for length in step]


def lengths_in_order(order: Order, examples: list[Example], number: int, batch: str = "4 rows") -> list[list[int]]:
    lengths = [example.num_tokens for example in examples]
    steps = Batches(lengths, batch=Batch.parse(batch), micro_batch=Batch(2, "rows"), seed=0, order=order).epoch(number)
    return [sorted(lengths[row] for micro in micros for row in micro) for micros in steps]


@pytest.mark.parametrize("batch", ["4 rows", "40 tokens"])
def test_a_curriculum_goes_from_short_to_long_and_then_at_random(batch):
    examples, records = rows(50)
    order = order_of(examples, records, data(1, curriculum={"by": "length", "first_epochs": 2}), None)
    whole = sorted(example.num_tokens for example in examples)
    for number in (0, 1):
        assert flat(lengths_in_order(order, examples, number, batch)) == whole
    later = flat(lengths_in_order(order, examples, 2, batch))
    assert later != whole and sorted(later) == whole


def test_a_curriculum_can_go_by_a_column_and_backwards():
    examples, records = rows(50)
    falling = order_of(examples, records, data(1, curriculum={"by": "level"}), None)
    rising = order_of(examples, records, data(1, curriculum={"by": "level", "order": "descending"}), None)
    whole = sorted(example.num_tokens for example in examples)
    assert lengths_in_order(falling, examples, 0)[0] == whole[-4:]
    assert flat(lengths_in_order(rising, examples, 0)) == whole


def test_rows_of_equal_difficulty_come_at_random():
    examples, records = [example(5)] * 40, rows(40)[1]
    order = order_of(examples, records, data(1, curriculum="length"), None)
    assert epoch(order, 0) != sorted(epoch(order, 0)) and epoch(order, 0, seed=1) != epoch(order, 0)


@pytest.mark.parametrize("said", [None, "hard", "nan", "(missing)"])
def test_rows_without_a_number_are_refused_by_name(said):
    examples, records = rows(3)
    slices = {} if said is None else {"level": said}
    records[1] = Record("0-2", "0.jsonl:2", slices=slices)
    with pytest.raises(DataError, match=r"1 of 3 rows have no number in the column 'level': 0.jsonl:2") as caught:
        order_of(examples, records, data(1, curriculum="level"), None)
    assert "curriculum" in caught.value.where and "length" in caught.value.fix


@pytest.mark.parametrize(
    "changes",
    [{"curriculum": "length"}, {"curriculum": {"by": "length", "first_epochs": 2}}, {"mixture": {"temperature": 2.0}}],
)
def test_what_differs_has_another_digest(changes):
    plain = order_of(*rows(9, 4), data(1, 1), None).digest
    assert order_of(*rows(9, 4), data(1, 1, **changes), None).digest != plain
    assert order_of(*rows(9, 4), data(1, 1), None).digest == plain


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("data: {sources: [a.jsonl], mixture: {temperature: 2}}", "a mixture needs two sources"),
        ("data: {sources: [a.jsonl, {path: b.jsonl, split: test}], mixture: {}}", "a mixture needs two sources"),
        ("data: {sources: [a.jsonl, b.jsonl], mixture: {temperature: 0.5}}", "temperature"),
        ("data: {sources: [a.jsonl, b.jsonl], mixture: {temperature: .inf}}", "write a number, not inf"),
        ("data: {sources: [a.jsonl]}\ntrain: {objective: {kind: distill, teacher: b, temperature: .inf}}", "not inf"),
        ("data: {sources: [a.jsonl]}\ntrain: {replay: {source: b.jsonl, share: 0}}", "above 0%"),
        ("data: {sources: [a.jsonl]}\ntrain: {replay: {source: b.jsonl, share: 100%}}", "below 100%"),
        ("data: {sources: [a.jsonl]}\ntrain: {replay: {source: run:old, share: 10%}}", "the run's number"),
        ("data: {sources: [a.jsonl], curriculum: {by: length, first_epochs: 0}}", "first_epochs"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(written, said):
    with pytest.raises(SpecError, match=said):
        parse(f"name: a\n{written}\n")
