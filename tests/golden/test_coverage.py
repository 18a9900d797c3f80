"""Intervals hold what they say: 95% intervals of every kind of figure hold the truth 93 to 97% of the time.

Rows are drawn from a population whose figure is known, through each metric's own statistics. Where an interval is built
to hold at least so often, whatever the distribution, it may hold more often. A few are looked at by every run of the
tests, all of them at more sizes by `make durability`, which prints the table of docs/results.md with `-s`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from tests.golden import coverage_pools as pools

from tunesmith.data.methods.votes.agreement import krippendorff_alpha, percent_agreement
from tunesmith.data.methods.votes.table import Votes
from tunesmith.evaluate.review.agree import agreement
from tunesmith.evaluate.statistics.resample import weights
from tunesmith.metrics import Floats, Metric
from tunesmith.part import METRICS
from tunesmith.records import Prediction

CONFIDENCE = 0.95
DRAWS = 500
"""Samples; by chance alone a share of 95% of them is off by one point."""
LEAST, MOST = 0.93, 0.97
AT_LEAST = 1.0
"""Of intervals that hold at least as often as they say, by how they are built."""


@dataclass(frozen=True)
class Case:
    """A metric over a population."""

    metric: Any
    """As a spec writes it."""
    rows: Callable[[], Sequence[Prediction]]
    before: Callable[[], Sequence[Prediction]] | None = None
    """The same rows answered by another arm, to be compared with."""
    most: float = MOST


def _labels(metric: Any, most: float = MOST) -> Case:
    return Case(metric, lambda: pools.labels(1), lambda: pools.labels(1, 1.2), most)


def _texts(metric: Any) -> Case:
    return Case(metric, lambda: pools.texts(2), lambda: pools.texts(2, 0.7))


def _groups(kind: str) -> Case:
    return Case(
        {"kind": kind, "by": "channel", "label": "billing", "min_rows": 1}, lambda: pools.labels(1), None, AT_LEAST
    )


CASES = {
    "accuracy": _labels("accuracy"),
    "f1_macro": _labels("f1_macro"),
    "f1_weighted": _labels("f1_weighted"),
    "f1 of a rare label": _labels({"kind": "f1", "label": "praise"}),
    "recall of a rare label": _labels({"kind": "recall", "label": "praise"}, 0.985),
    "balanced_accuracy": _labels("balanced_accuracy"),
    "precision": _labels("precision"),
    "mcc": _labels("mcc"),
    "cohen_kappa": _labels("cohen_kappa"),
    "brier": _labels("brier"),
    "log_loss": _labels("log_loss"),
    "ece": _labels("ece", AT_LEAST),
    "ece, 5 bins": _labels({"kind": "ece", "bins": 5}, AT_LEAST),
    "roc_auc": _labels("roc_auc", AT_LEAST),
    "roc_auc of a rare label": _labels({"kind": "roc_auc", "label": "praise"}, AT_LEAST),
    "average_precision": _labels("average_precision", AT_LEAST),
    "exact_match": _texts("exact_match"),
    "token_f1": _texts("token_f1"),
    "rougeL": _texts("rougeL"),
    "bleu": _texts("bleu"),
    "chrf": _texts("chrf"),
    "ter": _texts("ter"),
    "entity_f1": Case("entity_f1", lambda: pools.tagged(3)),
    "rating": Case({"kind": "rating", "criterion": "helpful"}, lambda: pools.rated(4), lambda: pools.rated(4, 3.4)),
    "win_rate": Case("win_rate", lambda: pools.rated(4)),
    "judged": Case({"kind": "judged", "judge": "rubric", "criterion": "polite"}, lambda: pools.rated(4)),
    "retention": Case("retention", lambda: pools.kept(5)),
    "robustness, scores 0 or 1": Case({"kind": "robustness", "change": pools.CHANGE}, lambda: pools.changed(6, False)),
    "robustness, graded": Case({"kind": "robustness", "change": pools.CHANGE}, lambda: pools.changed(6, True)),
    "membership_auc": Case("membership_auc", lambda: pools.attacked(7)),
    "latency_p50": Case("latency_p50", lambda: pools.timed(8), None, AT_LEAST),
    "latency_p95": Case("latency_p95", lambda: pools.timed(8), None, AT_LEAST),
    "latency_p99": Case("latency_p99", lambda: pools.timed(8), None, AT_LEAST),
    "tokens_per_second": Case("tokens_per_second", lambda: pools.timed(8), lambda: pools.timed(8, 1.3)),
    "perplexity": Case("perplexity", lambda: pools.timed(8)),
    "cost_per_1000": Case({"kind": "cost_per_1000", "per_hour": 2.5, "per_million_written": 3}, lambda: pools.timed(8)),
    "demographic_parity": _groups("demographic_parity"),
    "equal_opportunity": _groups("equal_opportunity"),
    "equalized_odds": _groups("equalized_odds"),
    "demographic_parity_ratio": _groups("demographic_parity_ratio"),
}  # fmt: skip
QUICK = [
    "accuracy", "f1_macro", "f1 of a rare label", "ece", "token_f1", "bleu", "entity_f1",
    "rating", "win_rate", "retention", "robustness, scores 0 or 1", "latency_p95", "perplexity", "equal_opportunity",
]  # fmt: skip
QUICK_APART = ["accuracy", "f1_macro", "token_f1", "bleu", "rating"]


@cache
def _resamples(rows: int, count: int) -> Floats:
    """[R, N]: one set for all samples, as every run with so many rows has the same."""
    return np.concatenate(list(weights(rows, count, 0)))


def _made(what: Any) -> Metric:
    metric = METRICS.make(what)
    assert isinstance(metric, Metric)
    return metric


def _samples(rows: int, draws: int, of: int) -> list[np.ndarray]:
    random = np.random.default_rng(rows)
    return [random.integers(of, size=rows) for _ in range(draws)]


def _holds(interval: tuple[float, float] | None, truth: float) -> bool:
    return interval is not None and interval[0] <= truth <= interval[1]


def covered(case: Case, rows: int, resamples: int, draws: int = DRAWS) -> float:
    """How often the interval of the value holds it."""
    metric = _made(case.metric)
    population = metric.statistics(case.rows())
    drawn_with, truth = _resamples(rows, resamples), metric.whole(population)
    hits = 0
    for chosen in _samples(rows, draws, len(population)):
        sample = population[chosen]
        hits += _holds(metric.interval(sample, metric.resampled(sample, drawn_with), CONFIDENCE), truth)
    return hits / draws


def covered_apart(case: Case, rows: int, resamples: int, draws: int = DRAWS) -> float:
    """How often the interval of the paired difference of two arms holds it."""
    metric = _made(case.metric)
    assert case.before is not None
    after, before = metric.statistics(case.rows()), metric.statistics(case.before())
    drawn_with, truth = _resamples(rows, resamples), metric.whole(after) - metric.whole(before)
    hits = 0
    for chosen in _samples(rows, draws, len(after)):
        one, other = after[chosen], before[chosen]
        drawn = metric.resampled(one, drawn_with) - metric.resampled(other, drawn_with)
        hits += _holds(metric.difference(one, other, drawn, CONFIDENCE), truth)
    return hits / draws


# Draws leave a point of doubt at 95%, and half a point goes to fewer resamples than evaluations take.
DOUBT = 0.015


@pytest.mark.parametrize("name", QUICK)
def test_values(name: str) -> None:
    found = covered(CASES[name], 200, 300)
    assert LEAST - DOUBT <= found <= CASES[name].most + DOUBT


@pytest.mark.parametrize("name", QUICK_APART)
def test_differences(name: str) -> None:
    assert LEAST - DOUBT <= covered_apart(CASES[name], 200, 300) <= MOST + DOUBT


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_value_at_200_rows(name: str) -> None:
    costly = name in ("roc_auc", "average_precision")
    found = covered(CASES[name], 200, 1000, 300 if costly else 1000)
    print(f"| {name} | {found:.3f} | {covered(CASES[name], 50, 1000, 300 if costly else 1000):.3f} |")
    assert LEAST <= found <= CASES[name].most


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.before is not None])
def test_every_difference_at_200_rows(name: str) -> None:
    costly = name in ("roc_auc", "average_precision")
    found = covered_apart(CASES[name], 200, 1000, 300 if costly else 1000)
    print(f"| {name}, difference | {found:.3f} | {covered_apart(CASES[name], 50, 1000, 300 if costly else 1000):.3f} |")
    assert LEAST <= found <= max(MOST, CASES[name].most)


# Raters -----------------------------------------------------------------------------------------

POINTS = [str(point) for point in range(1, 6)]


def _said(rows: int) -> np.ndarray:
    """[N, 3] points that raters give: their own mistakes on top of what the answer is worth."""
    random = np.random.default_rng(0)
    worth = random.normal(3.4, 1.0, rows)[:, None]
    return np.clip(np.round(worth + random.normal(0, 0.6, (rows, 3))), 1, 5).astype(int)


def _votes(said: np.ndarray) -> Votes:
    return Votes.of([{f"r{rater}": str(point) for rater, point in enumerate(row)} for row in said], POINTS)


def _of_raters(kind: str, said: np.ndarray) -> tuple[float, tuple[float, float]]:
    if kind in ("kappa", "spearman", "kendall"):
        found = getattr(agreement(said[:, 0] / 5, said[:, 1] / 5, same_scale=True, resamples=400), kind)
    elif kind == "percent":
        found = percent_agreement(_votes(said))
    else:
        found = krippendorff_alpha(_votes(said), "ordinal" if kind == "ordinal" else "nominal", order=POINTS)
    return found.value, (found.low, found.high)


@pytest.mark.parametrize(
    ("kind", "items", "draws"),
    [
        ("nominal", 60, 300),
        *(
            pytest.param(kind, items, 500, marks=pytest.mark.slow)
            for kind in ("nominal", "ordinal", "percent", "kappa", "spearman", "kendall")
            for items in (50, 200)
        ),
    ],
)
def test_agreement_of_raters(kind: str, items: int, draws: int) -> None:
    population = _said(4000)
    truth, _ = _of_raters(kind, population)
    hits = [_holds(_of_raters(kind, population[chosen])[1], truth) for chosen in _samples(items, draws, 4000)]
    print(f"| {kind} of raters, {items} items | {np.mean(hits):.3f} |")
    assert LEAST - 0.02 <= np.mean(hits) <= MOST + 0.01


# What cannot hold says so -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["f1_macro", "recall of a rare label", "balanced_accuracy", "roc_auc"])
def test_a_label_with_few_rows_is_a_caution(name: str) -> None:
    metric = _made(CASES[name].metric)
    population = metric.statistics(CASES[name].rows())
    assert metric.caution(population[:500]) == ""
    assert metric.caution(population[:40]).endswith("the interval is too narrow for so few")


def test_one_ranking_has_a_formula_that_holds_for_few_rows() -> None:
    metric = _made(CASES["roc_auc of a rare label"].metric)
    assert metric.caution(metric.statistics(CASES["roc_auc of a rare label"].rows())[:40]) == ""


def test_few_rows_in_bins_are_a_caution() -> None:
    metric = _made({"kind": "ece", "bins": 10})
    population = metric.statistics(pools.labels(1))
    assert metric.caution(population[:200]) == ""
    assert metric.caution(population[:199]).startswith("199 test rows in 10 bins")


@pytest.mark.parametrize("differing", [0, 3, 5, 6, 8])
def test_fewer_than_six_rows_that_differ_are_no_proof(differing: int) -> None:
    metric = _made("token_f1")
    before = np.stack([np.full(200, 0.5), np.ones(200)], axis=1)
    after = before.copy()
    after[:differing, 0] = 1.0
    drawn = metric.resampled(after, _resamples(200, 500)) - metric.resampled(before, _resamples(200, 500))
    p_value = metric.p_value(after, before, drawn)
    assert p_value is not None and (p_value < 0.05) == (differing >= 6)
