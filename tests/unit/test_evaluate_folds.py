"""Cross-validation: the mean over folds, how far it may be off, and the verdict by it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from tests.unit.test_evaluate_verdict import right

from tunesmith.errors import SpecError
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.statistics.folds import fold_values, mean_over, mean_over_seeds
from tunesmith.evaluate.verdict import judge
from tunesmith.metrics import Metric
from tunesmith.metrics._intervals import wilson
from tunesmith.part import METRICS
from tunesmith.records import Prediction
from tunesmith.spec.load import parse
from tunesmith.spec.resolve import resolve_early
from tunesmith.spec.sections import Target

ACCURACY: Metric = METRICS.make({"kind": "accuracy"})  # type: ignore[assignment]
WIDE, NARROW = (0.0, 1.0), (0.799, 0.801)


def fold(hits: int, rows: int, name: str, channel: str = "email") -> list[Prediction]:
    return right(hits, rows, channel, name)


def judged(folds: list[list[Prediction]], **written: object):
    target = Target.model_validate({"metric": "accuracy", **written})
    return judge([target], [row for rows in folds for row in rows], folds=folds).targets[0]


def test_the_interval_is_students() -> None:
    values = [0.7, 0.8, 0.9, 0.85, 0.75]
    mean, interval = mean_over(ACCURACY, values, 0.8, NARROW, 0.9)
    reach = stats.t.ppf(0.95, 4) * np.std(values, ddof=1) / math.sqrt(5)
    assert mean == pytest.approx(0.8)
    assert interval == pytest.approx((0.8 - reach, 0.8 + reach))


def test_it_is_never_narrower_than_the_rows_allow() -> None:
    _, interval = mean_over(ACCURACY, [0.8, 0.8, 0.8], 0.8, (0.7, 0.88), 0.9)
    assert interval == pytest.approx((0.7, 0.88))


@pytest.mark.parametrize(("count", "k", "width", "gap"), [(300, 5, 10, 2.0), (300, 10, 10, 1.0), (60, 5, 40, 1.5)])
def test_it_holds_the_truth_about_as_often_as_it_says(count: int, k: int, width: int, gap: float) -> None:
    """Classes told apart by the nearer mean: the mean accuracy of models of the folds' size, and each interval."""
    draw = np.random.default_rng(0)

    def rows(many: int) -> tuple[np.ndarray, np.ndarray]:
        labels = draw.integers(0, 2, many)
        points = draw.normal(size=(many, width))
        points[:, 0] += gap * labels
        return points, labels

    def right(learned: tuple[np.ndarray, np.ndarray], tested: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        zero, one = (learned[0][learned[1] == label].mean(axis=0) for label in (0, 1))
        apart = ((tested[0] - one) ** 2).sum(axis=1) - ((tested[0] - zero) ** 2).sum(axis=1)
        return (apart < 0) == tested[1]

    whole = rows(10_000)
    truth = np.mean([right(rows(count - count // k), whole).mean() for _ in range(200)])
    held, draws = 0, 500
    fold = np.arange(count) % k
    for _ in range(draws):
        points, labels = rows(count)
        hits = np.zeros(count, bool)
        for number in range(k):
            rest, tested = fold != number, fold == number
            hits[tested] = right((points[rest], labels[rest]), (points[tested], labels[tested]))
        values = [float(hits[fold == number].mean()) for number in range(k)]
        on_rows = wilson(int(hits.sum()), count, 0.95)
        _, interval = mean_over(ACCURACY, values, float(hits.mean()), on_rows, 0.95)
        assert interval is not None
        held += interval[0] <= truth <= interval[1]
    assert 0.915 <= held / draws <= 0.985


def test_it_ends_where_the_metric_ends() -> None:
    _, interval = mean_over(ACCURACY, [0.2, 1.0], 0.6, NARROW, 0.9)
    assert interval == (0.0, 1.0)


@pytest.mark.parametrize(("values", "mean"), [([math.nan, 0.5], 0.5), ([math.nan, math.nan], math.nan)])
def test_less_than_two_folds_give_no_interval(values: list[float], mean: float) -> None:
    found, interval = mean_over(ACCURACY, values, 0.5, WIDE, 0.9)
    assert found == pytest.approx(mean, nan_ok=True) and interval is None


def test_a_fold_without_rows_has_no_value() -> None:
    assert fold_values(ACCURACY, [fold(1, 2, "a"), []]) == pytest.approx([0.5, math.nan], nan_ok=True)


def test_the_mean_over_folds_decides_and_not_the_mean_over_rows() -> None:
    # 100 rows at 0.95 and 900 at 0.85 are 0.86 by row and 0.9 by fold.
    result = judged([fold(95, 100, "a"), fold(765, 900, "b")], at_least=0.88)
    assert result.value == pytest.approx(0.9)
    assert result.num_rows == 1000
    assert result.why.startswith("0.9 in the mean of 2 folds (0.85 to 0.95, 1,000 rows)")


def test_folds_that_differ_decide_less_than_folds_that_agree() -> None:
    agree = [fold(170 + at, 200, f"f{at}") for at in range(5)]
    differ = [fold(hits, 200, f"f{at}") for at, hits in enumerate([140, 200, 150, 195, 175])]
    assert judged(agree, at_least=0.8).outcome == "met"
    result = judged(differ, at_least=0.8)
    assert (result.outcome, result.value) == ("undecided", pytest.approx(0.86))
    assert result.more_rows is not None and result.more_rows > 0


def test_a_slice_is_measured_in_each_fold() -> None:
    folds = [[*fold(50, 50, f"e{at}"), *fold(30 + at, 50, f"c{at}", "chat")] for at in range(3)]
    result = judged(folds, at_least=0.9, slice={"channel": "chat"})
    assert (result.outcome, result.value, result.num_rows) == ("missed", pytest.approx(0.62), 150)


def test_a_comparison_tells_each_fold() -> None:
    arms = {"base": [fold(5, 10, "a"), fold(6, 10, "b")], "tuned": [fold(9, 10, "a"), fold(8, 10, "b")]}
    together = {arm: [row for rows in folds for row in rows] for arm, folds in arms.items()}
    (measure,) = compare(together, [ACCURACY], resamples=100, folds=arms).measures
    assert measure.folds["tuned"].values == [0.9, 0.8] and measure.folds["base"].values == [0.5, 0.6]
    assert measure.folds["tuned"].mean == pytest.approx(0.85)
    assert compare(together, [ACCURACY], resamples=100).measures[0].folds == {}


def test_the_model_that_ships_learns_from_all_rows() -> None:
    spec, _ = parse("name: a\ndata: {sources: [a.csv]}\nevaluate: {folds: 5}\n")
    rule = resolve_early(spec).data.split
    assert (rule.train.value, rule.validation.value, rule.test.value) == pytest.approx((0.889, 0.111, 0.0))


FOLDED = "evaluate: {folds: 5}"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (f"data: {{sources: [a.csv], split: {{train: 0.7, test: 0.2}}}}\n{FOLDED}", "data.split.test"),
        (f"data: {{sources: [a.csv], split: {{time: day}}}}\n{FOLDED}", "data.split.time"),
        (f"data: {{sources: [a.csv], split: {{fold: 2 of 5}}}}\n{FOLDED}", "data.split.fold"),
        (f"data: {{sources: [a.csv, {{path: b.csv, split: test}}]}}\n{FOLDED}", "a source is fixed to test"),
        ("data: {sources: [a.csv], split: {fold: 6 of 5}}", "no fold 6"),
        ("data: {sources: [a.csv], split: {fold: second}}", "write settings"),
        ("data: {sources: [a.csv], split: {fold: 2 of 5, hardest: length}}", "hardest says .*, and so does fold"),
    ],
)
def test_folds_refuse_what_goes_against_them(written: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        parse(f"name: a\n{written}\n")


# Seeds


def test_what_rows_and_seeds_leave_open_adds_up_in_squares() -> None:
    values = [0.78, 0.8, 0.85]
    mean, interval = mean_over_seeds(ACCURACY, values, (0.03, 0.02), 0.9)
    reach = stats.t.ppf(0.95, 2) * np.std(values, ddof=1) / math.sqrt(3)
    assert mean == pytest.approx(0.81)
    assert interval == pytest.approx((0.81 - math.hypot(reach, 0.03), 0.81 + math.hypot(reach, 0.02)))
    assert mean_over_seeds(ACCURACY, [0.8, math.nan], (0.1, 0.1), 0.9) == (pytest.approx(0.8), None)


@pytest.mark.parametrize("shared", [0.0, 1.0], ids=["models err apart", "models err alike"])
def test_seeds_hold_the_truth_at_least_as_often_as_they_say(shared: float) -> None:
    draw = np.random.default_rng(1)
    held, draws, rows, k = 0, 500, 400, 4
    for _ in range(draws):
        rates = draw.normal(0.8, 0.03, k)
        hard = draw.random(rows)
        luck = np.where(draw.random((k, rows)) < shared, hard, draw.random((k, rows)))
        hits = luck < rates[:, None]
        low, high = wilson(int(hits[0].sum()), rows, 0.95) or (0, 1)
        first = float(hits[0].mean())
        _, interval = mean_over_seeds(ACCURACY, hits.mean(axis=1).tolist(), (first - low, high - first), 0.95)
        assert interval is not None
        held += interval[0] <= 0.8 <= interval[1]
    assert 0.93 <= held / draws <= (0.98 if shared else 1.0)
