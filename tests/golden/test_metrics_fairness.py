"""Parity of groups equals fairlearn's, and its intervals hold what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tunesmith.evaluate.fairness.columns import columns
from tunesmith.evaluate.fairness.groups import group_figures, groupings
from tunesmith.metrics import Metric
from tunesmith.metrics._gaps import difference, largest_difference, quotient, smallest_ratio
from tunesmith.part import METRICS
from tunesmith.records import Prediction, Record

fairlearn = pytest.importorskip("fairlearn.metrics")

NAMES = ("demographic_parity", "equal_opportunity", "equalized_odds")


def metric(kind: str, **settings: Any) -> Metric:
    made = METRICS.make({"kind": kind, "by": "team", **settings})
    assert isinstance(made, Metric)
    return made


def rows_of(right: Any, given: Any, teams: Any) -> list[Prediction]:
    return [
        Prediction(Record(str(n), "s", text="", labels=(str(y),), slices={"team": str(team)}), str(p), str(y))
        for n, (y, p, team) in enumerate(zip(right, given, teams, strict=True))
    ]


def drawn(seed: int, rows: int = 300, teams: int = 4) -> tuple[Any, Any, Any]:
    draw = np.random.default_rng(seed)
    team = draw.integers(0, teams, rows)
    right = (draw.random(rows) < 0.3 + 0.1 * team).astype(int)
    given = np.where(draw.random(rows) < 0.7 + 0.05 * team, right, 1 - right)
    return right, given, team


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["difference", "ratio"])
def test_parity_equals_fairlearn(name: str, how: str) -> None:
    kind = name if how == "difference" else f"{name}_ratio"
    expected: Callable[..., float] = getattr(fairlearn, f"{name}_{how}")
    for seed in range(5):
        right, given, team = drawn(seed)
        found = metric(kind, label="1", min_rows=1).score(rows_of(right, given, team)).value
        assert found == pytest.approx(expected(right, given, sensitive_features=team))


def test_groups_that_are_too_small_are_left_out_of_a_rate() -> None:
    right, given, team = drawn(0)
    team[:3] = 9
    rows = rows_of(right, given, team)
    all_of_them, large = (metric("demographic_parity", label="1", min_rows=least) for least in (1, 30))
    kept = team != 9
    assert large.score(rows).value == pytest.approx(
        fairlearn.demographic_parity_difference(right[kept], given[kept], sensitive_features=team[kept])
    )
    assert all_of_them.score(rows).value != large.score(rows).value
    assert large.score(rows).num_rows == kept.sum()


def test_without_a_label_the_one_with_the_largest_difference_counts() -> None:
    rows = rows_of(["a", "b", "c"] * 20, ["a", "b", "c"] * 10 + ["a", "c", "b"] * 10, ["x"] * 30 + ["y"] * 30)
    of_labels = [metric("equal_opportunity", label=label).score(rows).value for label in "abc"]
    assert metric("equal_opportunity", min_rows=10).score(rows).value == 1.0
    assert np.isnan(of_labels).all()  # 10 rows of each label in a group are fewer than 30


def test_rows_that_name_no_group_or_several_do_not_count() -> None:
    right, given, team = drawn(1)
    named = np.where(team == 0, "(missing)", np.where(team == 1, "(several)", team.astype(str)))
    kept = team > 1
    found = metric("equalized_odds", label="1", min_rows=1).score(rows_of(right, given, named)).value
    assert found == pytest.approx(
        fairlearn.equalized_odds_difference(right[kept], given[kept], sensitive_features=team[kept])
    )


def test_figures_by_group_equal_a_metric_frame() -> None:
    right, given, team = drawn(2)
    rows = rows_of(right, given, team)
    figures = group_figures(
        {"tuned": columns(rows, [], "1", labelled=True)},
        groupings(rows, ["team"], intersections=False),
        confidence=0.95,
        min_rows=1,
    )
    shown = {
        "given": fairlearn.selection_rate,
        "found": fairlearn.true_positive_rate,
        "mistaken": fairlearn.false_positive_rate,
        "right": lambda y, p: float((y == p).mean()),
    }
    frame = fairlearn.MetricFrame(metrics=shown, y_true=right, y_pred=given, sensitive_features=team)
    assert {each.shown for each in figures} == set(shown)
    for each in figures:
        for group in each.groups:
            assert group.value == pytest.approx(frame.by_group[each.shown][int(group.group)])
        assert each.spread.difference == pytest.approx(frame.difference()[each.shown])
        assert each.spread.ratio == pytest.approx(frame.ratio()[each.shown])


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5, 0.5), (0.2, 0.5, 0.5, 0.5), (0.0, 0.02, 0.05, 0.05)])
@pytest.mark.parametrize("sizes", [(40, 60, 80, 300), (5, 10, 400, 400)])
def test_the_interval_of_the_largest_difference_holds_it(shares: tuple[float, ...], sizes: tuple[int, ...]) -> None:
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        rates = [(float(draw.binomial(size, share)), size) for share, size in zip(shares, sizes, strict=True)]
        low, high = largest_difference([rates], 0.95) or (1.0, 0.0)
        observed = [hits / size for hits, size in rates]
        assert low <= max(observed) - min(observed) <= high
        held += low <= max(shares) - min(shares) <= high
    assert held >= 185


def test_the_interval_of_the_smallest_ratio_holds_it() -> None:
    draw, shares, sizes = np.random.default_rng(0), (0.3, 0.5, 0.5), (60, 80, 200)
    held = 0
    for _ in range(200):
        rates = [(float(draw.binomial(size, share)), size) for share, size in zip(shares, sizes, strict=True)]
        low, high = smallest_ratio([rates], 0.95) or (1.0, 0.0)
        observed = [hits / size for hits, size in rates]
        assert low <= min(observed) / max(observed) <= high
        held += low <= 0.6 <= high
    assert held >= 185


def test_two_shares_that_cannot_be_compared_say_so() -> None:
    assert largest_difference([[(3.0, 9)]], 0.95) is None and smallest_ratio([[(3.0, 9)]], 0.95) is None
    assert quotient((3.0, 9), (0.0, 9), 0.95)[1] == float("inf")
    # Nobody has any: no difference was seen, and how large one may be is told by how few they are.
    low, high = largest_difference([[(0.0, 30), (0.0, 30)]], 0.95) or (1.0, 0.0)
    assert low == 0 and 0.05 < high < 0.2
    assert difference((0.0, 30), (0.0, 30), 0.95)[1] == pytest.approx(high)
