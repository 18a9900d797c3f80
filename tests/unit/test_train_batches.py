"""The order of learning: everything once an epoch, nothing lost, a pure function of seed and epoch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.spec.quantity import Batch
from tunesmith.train.order.batches import WINDOW, Batches

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=120)
ROWS = st.integers(1, 20).map(lambda value: Batch(value, "rows"))
TOKENS = st.integers(1, 200).map(lambda value: Batch(value, "tokens"))
SIZES = st.one_of(ROWS, TOKENS)


def flat(micros):
    return [row for rows in micros for row in rows]


@given(LENGTHS, SIZES, st.one_of(st.none(), SIZES), st.integers(0, 3), st.integers(0, 5))
def test_each_example_exactly_once_an_epoch(lengths, batch, micro, seed, epoch):
    steps = Batches(lengths, batch=batch, micro_batch=micro, seed=seed).epoch(epoch)
    seen = [row for micros in steps for rows in micros for row in rows]
    assert sorted(seen) == list(range(len(lengths)))
    assert all(rows for micros in steps for rows in micros) and all(steps)


@given(LENGTHS, SIZES, SIZES, st.integers(0, 3))
def test_micro_batches_never_change_what_a_step_learns_from(lengths, batch, micro, seed):
    whole = Batches(lengths, batch=batch, seed=seed).epoch(0)
    cut = Batches(lengths, batch=batch, micro_batch=micro, seed=seed).epoch(0)
    assert [flat(micros) for micros in cut] == [micros[0] for micros in whole]


@given(LENGTHS, SIZES, SIZES)
def test_sizes_are_kept(lengths, batch, micro):
    for micros in Batches(lengths, batch=batch, micro_batch=micro, seed=0).epoch(0):
        rows = flat(micros)
        size = len(rows) if batch.unit == "rows" else sum(lengths[row] for row in rows)
        assert size <= batch.value or len(rows) == 1
        for part in micros:
            size = len(part) if micro.unit == "rows" else len(part) * max(lengths[row] for row in part)
            assert size <= micro.value or len(part) == 1


@given(LENGTHS, ROWS)
def test_only_one_batch_of_rows_is_short(lengths, batch):
    sizes = [sum(map(len, micros)) for micros in Batches(lengths, batch=batch, seed=0).epoch(0)]
    assert sum(size < batch.value for size in sizes) <= 1


def test_order_is_a_function_of_seed_and_epoch():
    def epochs(seed, numbers):
        batches = Batches([5] * 100, batch=Batch(4, "rows"), seed=seed)
        return [batches.epoch(number) for number in numbers]

    assert epochs(1, [0, 1, 2]) == epochs(1, [2, 1, 0])[::-1]
    assert epochs(1, [0]) != epochs(2, [0])
    first, second = epochs(1, [0, 1])
    assert first != second
    assert first[0] != [[0, 1, 2, 3]]


def test_any_position_can_be_gone_on_from():
    batches = Batches([3, 1, 2, 9, 4, 7, 5], batch=Batch(2, "rows"), seed=3)
    from_start = [next(steps) for steps in [batches.steps_from(0, 0)] for _ in range(12)]
    assert [(epoch, index) for epoch, index, _ in from_start[:5]] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]
    for place, (epoch, index, _) in enumerate(from_start):
        again = Batches([3, 1, 2, 9, 4, 7, 5], batch=Batch(2, "rows"), seed=3).steps_from(epoch, index)
        assert [next(again) for _ in range(12 - place)] == from_start[place:]


def test_rows_learned_together_are_about_equally_long():
    lengths = [1 + number % 50 for number in range(WINDOW * 8)]
    steps = Batches(lengths, batch=Batch(8, "rows"), seed=0).epoch(0)
    padded = sum(len(micros[0]) * max(lengths[row] for row in micros[0]) for micros in steps)
    assert padded <= 1.1 * sum(lengths)


@pytest.mark.parametrize("batch", [Batch(8, "rows"), Batch(200, "tokens")])
def test_long_and_short_batches_are_mixed(batch):
    lengths = [1 + number % 50 for number in range(WINDOW * 8)]
    longest = [max(lengths[row] for row in micros[0]) for micros in Batches(lengths, batch=batch, seed=0).epoch(0)]
    assert longest != sorted(longest)
