"""Durations, stretches and intervals, turned into optimizer steps."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tunesmith.spec.quantity import Batch, Duration, Every, Stretch
from tunesmith.train.order.batches import Batches
from tunesmith.train.order.horizon import Horizon, Position

BATCHES = Batches([10] * 25, batch=Batch(4, "rows"), seed=0)  # 7 steps an epoch, the last one short (10 tokens)


def positions(count):
    """Every position of a training, as the loop comes by it."""
    at, steps = Position(), BATCHES.steps_from(0, 0)
    yield at
    for _ in range(count):
        epoch, index, micros = next(steps)
        last = index + 1 == len(BATCHES.epoch(epoch))
        tokens = at.tokens + sum(10 * len(rows) for rows in micros)
        at = Position(epoch + last, 0 if last else index + 1, at.step + 1, tokens)
        yield at


@pytest.mark.parametrize(
    ("written", "steps"),
    [
        ("1 epoch", 7), ("3 epochs", 21), ("0.5 epochs", 4), ("1.5 epochs", 11), ("0.01 epochs", 1),
        ("1 step", 1), ("20 steps", 20),
        ("250 tokens", 7), ("251 tokens", 8), ("1 token", 1), ("1k tokens", 28),
    ],
)  # fmt: skip
def test_exact_durations(written, steps):
    horizon = Horizon(Duration.parse(written), BATCHES)
    assert horizon.total(Position()) == steps
    assert [horizon.ended(at) for at in positions(steps)] == [False] * steps + [True]


@pytest.mark.parametrize(
    ("written", "steps"),
    [
        ("0%", 0), ("5%", 5), ("12.5%", 12), ("100%", 100),
        ("9 steps", 9), ("0 steps", 0), ("500 tokens", 14), ("2 epochs", 14),
    ],
)  # fmt: skip
def test_stretches(written, steps):
    assert Horizon(Duration(100, "steps"), BATCHES).steps(Stretch.parse(written), 100) == steps


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1 epoch", [7, 14, 21]), ("2 epochs", [14]), ("0.5 epochs", [4, 7, 11, 14, 18, 21]),
        ("5 steps", [5, 10, 15, 20]), ("1 step", list(range(1, 22))), ("100 tokens", [3, 5, 8, 11, 13, 16, 18, 21]),
    ],
)  # fmt: skip
def test_intervals(written, expected):
    horizon = Horizon(Duration(3, "epochs"), BATCHES)
    way = list(positions(21))
    passed = [now.step for before, now in pairwise(way) if horizon.passed(Every.parse(written), before, now)]
    if written == "100 tokens":
        crossed = [now.step for before, now in pairwise(way) if now.tokens // 100 > before.tokens // 100]
        assert passed == crossed
    else:
        assert passed == expected


def test_time_is_estimated_from_the_pace_and_ends_by_the_clock():
    horizon = Horizon(Duration.parse("1 min"), BATCHES)
    assert horizon.total(Position()) == 7, "nothing is known yet: one epoch"
    assert horizon.total(Position(step=10, seconds=30.0)) == 20
    assert horizon.total(Position(step=10, seconds=59.9)) == 11
    assert not horizon.ended(Position(step=10, seconds=59.9))
    assert horizon.ended(Position(step=10, seconds=60.0))
    assert horizon.steps(Stretch(10, "%"), 20) == 2
