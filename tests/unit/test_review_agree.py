"""How people and judges agree, against scipy and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import cohen_kappa_score

from tunesmith.evaluate.review.agree import agreement


def ratings(seed: int = 0, rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    drawn = np.random.default_rng(seed)
    human = drawn.integers(1, 6, rows).astype(float)
    return human, np.clip(human + drawn.integers(-2, 3, rows), 1, 5).astype(float)


@pytest.mark.parametrize("seed", range(4))
def test_the_coefficients_equal_the_references(seed: int) -> None:
    human, judged = ratings(seed)
    found = agreement(human, judged, same_scale=True, resamples=50)
    assert found.spearman.value == pytest.approx(spearmanr(human, judged).statistic, abs=1e-12)
    assert found.kendall.value == pytest.approx(kendalltau(human, judged).statistic, abs=1e-12)
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx(
        cohen_kappa_score(human.astype(int), judged.astype(int), weights="quadratic"), abs=1e-12
    )
    for one in (found.spearman, found.kendall, found.kappa):
        assert one.low < one.value < one.high


def test_resamples_are_those_of_rows() -> None:
    """The interval equals that of a plain bootstrap that draws rows and asks scipy each time."""
    human, judged = ratings(1, 60)
    found = agreement(human, judged, resamples=2000)
    random = np.random.default_rng(5)
    plain = []
    for _ in range(150):
        rows = random.integers(0, len(human), len(human))
        plain.append((spearmanr(human[rows], judged[rows]).statistic, kendalltau(human[rows], judged[rows]).statistic))
    for one, values in zip((found.spearman, found.kendall), np.array(plain).T, strict=True):
        low, high = np.quantile(values, [0.025, 0.975])
        assert one.low == pytest.approx(low, abs=0.06)
        assert one.high == pytest.approx(high, abs=0.06)


def test_rows_without_a_figure_do_not_count() -> None:
    human, judged = ratings(2, 40)
    whole = agreement(human, judged, resamples=50)
    holed = agreement([*human, math.nan, 3.0], [*judged, 2.0, math.nan], resamples=50)
    assert holed == whole and whole.rows == 40 and whole.kappa is None


def test_nothing_to_follow_is_nan() -> None:
    flat = agreement([3.0] * 9, [1.0, 2.0, 3.0] * 3, resamples=20)
    assert math.isnan(flat.spearman.value) and math.isnan(flat.kendall.low)
    none = agreement([], [], same_scale=True)
    assert none.rows == 0 and math.isnan(none.spearman.value) and none.kappa is not None


def test_another_seed_draws_other_rows_and_a_surer_interval_is_wider() -> None:
    human, judged = ratings(3)
    one, other = (agreement(human, judged, seed=seed, resamples=200).spearman for seed in (0, 1))
    assert one.value == other.value and one != other
    wide = agreement(human, judged, confidence=0.99, resamples=200).spearman
    assert wide.low < one.low and wide.high > one.high
