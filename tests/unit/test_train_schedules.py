"""Schedules against their closed forms, to 1e-12 at every step."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.part import SCHEDULES
from tunesmith.spec.quantity import Stretch
from tunesmith.train.schedules.constant import Constant
from tunesmith.train.schedules.cosine import Cosine
from tunesmith.train.schedules.exponential import Exponential
from tunesmith.train.schedules.linear import Linear
from tunesmith.train.schedules.polynomial import Polynomial
from tunesmith.train.schedules.restarts import Restarts

TOTAL, WARMUP = 97, 10


def cosine(p, floor=0.0):
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * p))


CURVES = [
    (Constant(), lambda p: 1.0),
    (Linear(), lambda p: 1 - p),
    (Linear(floor=0.25), lambda p: 1 - 0.75 * p),
    (Cosine(), cosine),
    (Cosine(floor=0.1), lambda p: cosine(p, 0.1)),
    (Exponential(), lambda p: 0.1**p),
    (Exponential(decay=0.5), lambda p: math.exp(p * math.log(0.5))),
    (Polynomial(), lambda p: (1 - p) ** 2),
    (Polynomial(power=0.5, floor=0.1), lambda p: 0.1 + 0.9 * math.sqrt(1 - p)),
    (Restarts(), lambda p: cosine(p * 3 % 1.0)),
    (Restarts(cycles=4, decay=0.5, floor=0.2), lambda p: 0.5 ** math.floor(p * 4) * cosine(p * 4 % 1.0, 0.2)),
]


@pytest.mark.parametrize(("schedule", "curve"), CURVES, ids=lambda value: getattr(value, "kind", ""))
def test_closed_forms(schedule, curve):
    for step in range(TOTAL):
        expected = (step + 1) / (WARMUP + 1) if step < WARMUP else curve((step - WARMUP) / (TOTAL - WARMUP))
        assert schedule.factor(step, TOTAL, WARMUP) == pytest.approx(expected, abs=1e-12), step


@pytest.mark.parametrize(("schedule", "curve"), CURVES, ids=lambda value: getattr(value, "kind", ""))
def test_the_peak_is_reached_right_after_the_warmup(schedule, curve):
    factors = [schedule.factor(step, TOTAL, WARMUP) for step in range(WARMUP + 1)]
    assert factors == sorted(factors) and factors[0] > 0
    assert factors[-1] == pytest.approx(1.0, abs=1e-12)
    assert schedule.factor(0, TOTAL, 0) == pytest.approx(1.0, abs=1e-12)


@given(st.sampled_from([schedule for schedule, _ in CURVES]), st.integers(1, 300), st.integers(0, 400))
def test_rates_stay_between_nothing_and_the_peak(schedule, total, warmup):
    factors = [schedule.factor(step, total, warmup) for step in range(total)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[0] > 0


COOLED = [
    (schedule, curve) for schedule, curve in CURVES if curve(1 - 1e-15) > 1e-6 and not isinstance(schedule, Restarts)
]


@pytest.mark.parametrize(("shape", "fall"), [("linear", lambda q: 1 - q), ("sqrt", lambda q: 1 - math.sqrt(q))])
@pytest.mark.parametrize(("schedule", "curve"), COOLED, ids=lambda value: getattr(value, "kind", ""))
def test_cooldown_closed_forms(schedule, curve, shape, fall):
    """The curve is run through before the cool-down, which takes what it has come to down to nothing."""
    cooled = type(schedule).model_validate({**dict(schedule), "cooldown": Stretch(20, "%"), "cooldown_shape": shape})
    cooling, end = 20, TOTAL - 20
    for step in range(WARMUP, TOTAL):
        steady = curve(min((step - WARMUP) / (end - WARMUP), 1.0))
        expected = steady if step < end else steady * fall((step - end) / cooling)
        assert cooled.factor(step, TOTAL, WARMUP, cooling) == pytest.approx(expected, abs=1e-12), step
    assert [cooled.factor(step, TOTAL, WARMUP, cooling) for step in range(WARMUP)] == [
        schedule.factor(step, TOTAL, WARMUP) for step in range(WARMUP)
    ]


def test_the_trapezoid():
    """Warm-up, plateau, cool-down: the usual warm-up-stable-decay course, number by number."""
    wsd = Constant(cooldown=Stretch(4, "steps"))
    factors = [wsd.factor(step, 10, 3, 4) for step in range(10)]
    assert factors == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1, 1, 1, 1, 3 / 4, 2 / 4, 1 / 4])
    fast = Constant(cooldown=Stretch(4, "steps"), cooldown_shape="sqrt")
    assert [fast.factor(step, 10, 3, 4) for step in range(6, 10)] == pytest.approx(
        [1, 0.5, 1 - math.sqrt(0.5), 1 - math.sqrt(0.75)]
    )


@given(
    st.sampled_from([schedule for schedule, _ in COOLED]), st.integers(1, 60), st.integers(0, 80), st.integers(0, 80)
)
def test_warmup_and_cooldown_always_fit(schedule, total, warmup, cooldown):
    factors = [schedule.factor(step, total, warmup, cooldown) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[:warmup] == [schedule.factor(step, total, warmup) for step in range(min(warmup, total))]


@pytest.mark.parametrize("make", [Cosine, Linear, Polynomial, lambda **given: Restarts(**given)])
def test_a_cooldown_of_nothing_is_refused(make):
    with pytest.raises(ValueError, match="ends at nothing by itself; give it a floor"):
        make(cooldown=Stretch(10, "%"))
    assert make(cooldown=Stretch(10, "%"), floor=0.1).cooldown.value == 10


def test_restarts_restart():
    factors = [Restarts(cycles=2, decay=0.5).factor(step, 100, 0) for step in range(100)]
    assert factors[49] < 0.01 and factors[50] == pytest.approx(0.5)


def test_all_schedules_are_tested():
    assert {schedule.kind for schedule, _ in CURVES} == set(SCHEDULES.names())
    assert all(schedule.warmup == Stretch(5, "%") for schedule, _ in CURVES)
