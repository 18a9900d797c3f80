"""Intervals cover what they say, and stay honest where a bootstrap has nothing to vary."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tunesmith.evaluate.statistics.resample import draw
from tunesmith.metrics import Metric
from tunesmith.metrics._intervals import agreed_difference, binomial_at_most, quantile_ranks, rows_to_part, wilson
from tunesmith.part import METRICS

SIMULATIONS = 1000


def metric(name: str) -> Metric:
    part = METRICS.make(name)
    assert isinstance(part, Metric)
    return part


def test_wilson_equals_published_figures() -> None:
    # Brown, Cai and DasGupta (2001) and any textbook: 81 of 263 at 95 %.
    low, high = wilson(81, 263, 0.95) or (0, 0)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_wilson_at_the_ends_has_width() -> None:
    low, high = wilson(50, 50, 0.95) or (0, 0)
    assert high == 1
    assert low == pytest.approx(50 / (50 + 1.959964**2), abs=1e-6)
    assert (wilson(0, 50, 0.95) or (1, 1))[0] == 0
    assert wilson(0, 0, 0.95) is None


def test_rows_to_part_is_where_wilson_reaches_the_bound() -> None:
    rows = int(rows_to_part(0.93, 0.9, 0.95))
    assert (wilson(0.93 * rows, rows, 0.9) or (0, 0))[0] >= 0.9
    assert (wilson(0.93 * (rows - 2), rows - 2, 0.9) or (1, 1))[0] < 0.9
    assert rows_to_part(0.9, 0.9, 0.95) == math.inf


def test_binomial_adds_up() -> None:
    trials, share = 30, 0.95
    exact = [math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(trials + 1)]
    np.testing.assert_allclose(binomial_at_most(share, trials), np.cumsum(exact), atol=1e-12)


def test_ranks_equal_published_figures() -> None:
    # Conover's table: the median of 10 lies between the 2nd and 9th value with at least 95 %.
    assert quantile_ranks(0.5, 10, 0.95) == (2, 9)
    # 59 rows are the fewest whose slowest bounds a 95th percentile with 95 %, one-sided.
    assert quantile_ranks(0.95, 58, 0.9)[1] is None
    assert quantile_ranks(0.95, 59, 0.9)[1] == 59
    assert quantile_ranks(0.5, 0, 0.95) == (None, None)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_latency_interval_covers_at_least_as_often_as_it_says(share: float) -> None:
    random = np.random.default_rng(0)
    part = metric("latency_p50" if share == 0.5 else "latency_p95")
    truth = float(np.quantile(random.lognormal(0, 1, 2_000_000), share))
    hits = 0
    for _ in range(SIMULATIONS):
        low, high = part.interval(random.lognormal(0, 1, (120, 1)), np.empty(0), 0.95) or (1, 0)
        hits += low <= truth <= high
    assert 0.94 <= hits / SIMULATIONS <= 0.985


def test_latency_of_few_rows_is_open_above() -> None:
    times = np.arange(1.0, 21.0)[:, None]
    assert metric("latency_p99").interval(times, np.empty(0), 0.95) == (19.0, np.inf)


@pytest.mark.parametrize("off", [0.0, 0.1])
def test_paired_difference_covers(off: float) -> None:
    random = np.random.default_rng(5)
    part = metric("accuracy")
    hits = 0
    for _ in range(SIMULATIONS):
        hard = random.random(200)
        before = (hard < 0.7).astype(float)
        after = np.where(random.random(200) < 0.15, random.random(200) < 0.7 + off / 0.15, before).astype(float)
        ones = np.ones(200)
        arms = np.stack([after, ones], axis=-1), np.stack([before, ones], axis=-1)
        low, high = part.difference(*arms, np.empty(0), 0.95) or (1, 0)
        truth = 0.15 * (min(1.0, 0.7 + off / 0.15) - 0.7)
        hits += low <= truth <= high
    assert 0.93 <= hits / SIMULATIONS <= 0.985


@pytest.mark.parametrize("name", ["accuracy", "exact_match", "token_f1", "rougeL"])
def test_all_right_is_not_certain(name: str) -> None:
    part = metric(name)
    perfect = np.ones((40, 2))
    low, high = part.interval(perfect, draw([(part, perfect)], 100, 0)[0], 0.95) or (1, 0)
    assert high == 1
    assert low == pytest.approx(0.9124, abs=1e-4)
    low, high = part.difference(perfect, perfect, np.zeros(100), 0.95) or (0, 0)
    assert low < -0.03 < 0.03 < high


def test_all_right_entities_count_rows_and_perfect_bleu_its_range() -> None:
    right = np.tile([2.0, 0, 0, 1], (40, 1))
    assert (metric("entity_f1").interval(right, np.ones(100), 0.95) or (1, 0))[0] == pytest.approx(0.9124, abs=1e-4)
    perfect = np.tile([9.0, 9, 9, 8, 7, 6, 9, 8, 7, 6], (40, 1))
    low, high = metric("bleu").interval(perfect, np.full(100, 100.0), 0.95) or (1, 0)
    assert (round(low, 2), high) == (91.24, 100)


def test_a_difference_of_proportions_is_symmetric_and_stays_in_range() -> None:
    low, high = agreed_difference(10, 3, 100, 0.95) or (0, 0)
    other = agreed_difference(3, 10, 100, 0.95) or (0, 0)
    assert (low, high) == pytest.approx((-other[1], -other[0]))
    assert low < 0.07 < high
    assert (agreed_difference(5, 0, 5, 0.95) or (0, 0))[1] == 1
    assert agreed_difference(0, 0, 0, 0.95) is None


def test_one_row_gives_no_interval_but_for_a_proportion() -> None:
    row = np.array([[0.4, 1.0]])
    assert metric("token_f1").interval(row, np.full(100, 0.4), 0.95) is None
    assert metric("accuracy").interval(np.array([[1.0, 1.0]]), np.ones(100), 0.95) is not None
