"""Metrics of probabilities, of speed and of cost, against scikit-learn and by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    log_loss,
    matthews_corrcoef,
    roc_auc_score,
)
from tests.golden.test_metrics_references import CLOSE, drawn_twice, metric

from tunesmith.metrics._measured import ANSWER_TOKENS, FIRST_TOKEN, PEAK_MEMORY, PROMPT_TOKENS
from tunesmith.records import Prediction, Record

LABELS = ["a", "b", "c"]


def believed(scores: dict[str, float], *right: str) -> Prediction:
    output = max(scores, key=lambda label: scores[label]) if scores else right[0]
    return Prediction(Record("r", "s", text="t", labels=right), output, ", ".join(right), scores=scores)


def drawn(random: np.random.Generator, count: int, labels: list[str]) -> tuple[list[Prediction], np.ndarray, list[str]]:
    sure = random.dirichlet(np.full(len(labels), 0.7), count)
    right = random.choice(labels, count).tolist()
    rows = [believed(dict(zip(labels, row, strict=True)), label) for row, label in zip(sure, right, strict=True)]
    return rows, sure, right


def ece_by_the_paper(sure: np.ndarray, right: np.ndarray, bins: int) -> float:
    confidence, correct = sure.max(axis=1), sure.argmax(axis=1) == right
    edges, error = np.linspace(0, 1, bins + 1), 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            error += abs(correct[inside].mean() - confidence[inside].mean()) * inside.mean()
    return error


def test_beliefs_equal_scikit_learn_and_the_paper() -> None:
    random = np.random.default_rng(0)
    for labels in (LABELS, LABELS[:2]):
        for _ in range(12):
            count = int(random.integers(5, 60))
            rows, sure, right = drawn(random, count, labels)
            weights, chosen = drawn_twice(random, count)
            for pick in (list(range(count)), chosen):
                truth = [right[row] for row in pick]
                expected = {
                    "brier": brier_score_loss(truth, sure[pick], labels=labels)
                    if len(labels) > 2
                    else brier_score_loss(np.array(truth) == "b", sure[pick, 1]),
                    "log_loss": log_loss(truth, sure[pick], labels=labels),
                    "ece": ece_by_the_paper(sure[pick], np.array([labels.index(label) for label in truth]), 15),
                }
                for name, value in expected.items():
                    part = metric(name)
                    counted = weights if pick is chosen else np.ones((1, count))
                    assert part.resampled(part.statistics(rows), counted)[0] == pytest.approx(value, abs=CLOSE), name


def test_bins_of_ece() -> None:
    rows = [
        believed({"a": 0.5, "b": 0.5}, "b"),
        believed({"a": 0.55, "b": 0.45}, "a"),
        believed({"a": 1.0, "b": 0.0}, "a"),
    ]
    # In two bins 0.5 lies in the first.
    assert metric({"kind": "ece", "bins": 2}).score(rows).value == pytest.approx((0.5 + 0.45) / 3)
    assert metric({"kind": "ece", "bins": 1}).score(rows).value == pytest.approx(abs(2.05 - 2) / 3)


def test_beliefs_in_odd_cases() -> None:
    for name in ("ece", "brier", "log_loss"):
        assert math.isnan(metric(name).score([believed({}, "a")]).value)
        rows = [believed({}, "a"), believed({"a": 0.8, "b": 0.2}, "a")]
        assert metric(name).score(rows).value == pytest.approx(metric(name).score(rows[1:]).value)
    unknown = [believed({"a": 0.9, "b": 0.1}, "z")]
    assert metric("log_loss").score(unknown).value == pytest.approx(-math.log(np.finfo(float).eps))
    assert metric("brier").score(unknown).value == pytest.approx(0.81 + 0.01 + 1)
    several = [believed({"a": 0.9, "b": 0.6, "c": 0.1}, "a", "b")]
    assert metric("brier").score(several).value == pytest.approx(0.01 + 0.16 + 0.01)
    assert metric("log_loss").score(several).value == pytest.approx(-math.log(0.9 * 0.6))
    assert metric("ece").score(several).value == pytest.approx(0.1)


def clocked(seconds: float, first: float = 0.0, read: float = 10, written: float = 5, peak: float = 0.0) -> Prediction:
    measured = {PROMPT_TOKENS: read, ANSWER_TOKENS: written}
    measured |= {FIRST_TOKEN: first} if first else {}
    measured |= {PEAK_MEMORY: peak} if peak else {}
    return Prediction(Record("r", "s", text="t"), "x", "x", seconds=seconds, measured=measured)


def test_time_to_the_first_token() -> None:
    rows = [clocked(1, first=0.01 * number) for number in range(1, 21)] + [clocked(0)]
    p50, p95 = (metric(name).score(rows) for name in ("first_token_p50", "first_token_p95"))
    assert (p50.value, p95.value) == (pytest.approx(100), pytest.approx(190)) and p50.num_rows == 20
    assert math.isnan(metric("first_token_p50").score([clocked(1)]).value)
    assert metric("first_token_p95").interval(metric("first_token_p95").statistics(rows), np.empty(0), 0.9) is not None


def test_tokens_per_second() -> None:
    rows = [clocked(2.0, written=30), clocked(1.0, written=6), clocked(0, written=99)]
    assert metric("tokens_per_second").score(rows).value == 12
    assert math.isnan(metric("tokens_per_second").score([clocked(0)]).value)


def test_cost_of_a_thousand_calls() -> None:
    rows = [clocked(2.0, read=100, written=50), clocked(0, read=300, written=10)]

    def cost(**prices: float) -> float:
        return metric({"kind": "cost_per_1000", **prices}).score(rows).value

    assert cost(per_hour=3.6) == pytest.approx(2.0)  # only one row was timed
    assert cost(per_million_read=1.0) == pytest.approx(0.2)
    assert cost(per_million_written=2.0) == pytest.approx(0.06)
    assert cost(per_hour=3.6, per_million_read=1.0) == pytest.approx(2.1)
    with pytest.raises(ValueError, match="needs a price"):
        metric("cost_per_1000")


def test_peak_memory_is_what_was_measured() -> None:
    part, rows = metric("peak_memory"), [clocked(1, peak=400.0), clocked(0, peak=400.0)]
    statistics = part.statistics(rows)
    assert part.score(rows).value == 400
    assert part.interval(statistics, np.empty(0), 0.95) == (400, 400)
    assert part.difference(statistics, part.statistics([clocked(1, peak=300.0)] * 2), np.empty(0), 0.95) == (100, 100)
    assert part.p_value(statistics, statistics, np.empty(0)) is None
    assert (
        math.isnan(part.score([clocked(1)]).value)
        and part.interval(part.statistics([clocked(1)]), np.empty(0), 0.95) is None
    )


def test_rankings_equal_scikit_learn() -> None:
    """Of one label and in the mean of all, with ties, with rows that count more than once or not at all."""
    random = np.random.default_rng(1)
    for labels in (LABELS, LABELS[:2]):
        for _ in range(12):
            count = int(random.integers(30, 80))
            rows, sure, right = drawn(random, count, labels)
            coarse = np.round(sure, 1)
            rows = [
                believed(dict(zip(labels, row, strict=True)), label) for row, label in zip(coarse, right, strict=True)
            ]
            weights, chosen = drawn_twice(random, count)
            for pick in (list(range(count)), chosen):
                truth, scores = np.array([right[row] for row in pick]), coarse[pick]
                counted = weights if pick is chosen else np.ones((1, count))
                for name, of in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
                    each = [of(truth == label, scores[:, place]) for place, label in enumerate(labels)]
                    for part, wanted in (
                        (metric(name), np.mean(each)),
                        (metric({"kind": name, "label": labels[1]}), each[1]),
                    ):
                        found = part.resampled(part.statistics(rows), counted)[0]
                        assert found == pytest.approx(wanted, abs=CLOSE), part.name


def test_a_label_that_all_or_none_have_has_no_ranking() -> None:
    rows = [believed({"a": 0.9, "b": 0.1}, "a"), believed({"a": 0.6, "b": 0.4}, "a")]
    assert math.isnan(metric("roc_auc").score(rows).value)
    assert metric("roc_auc").score(rows).per_row.tolist() == pytest.approx([0.9, 0.6])
    assert math.isnan(metric({"kind": "average_precision", "label": "b"}).score(rows).value)


def test_a_ranking_without_a_flaw_is_no_certainty() -> None:
    rows = [believed({"a": 0.9, "b": 0.1}, "a"), believed({"a": 0.2, "b": 0.8}, "b")] * 10
    part = metric("roc_auc")
    low, high = part.interval(part.statistics(rows), np.ones(50), 0.95) or (1.0, 1.0)
    assert 0.8 < low < 0.95 and high == 1


def test_labels_together_equal_scikit_learn() -> None:
    """Labels that nobody has or was given among them."""
    random = np.random.default_rng(2)
    for _ in range(12):
        count = int(random.integers(5, 60))
        rows, _, right = drawn(random, count, LABELS)
        given = [random.choice([label, *LABELS, "d"]) for label in right]
        rows = [
            Prediction(Record("r", "s", text="t", labels=(label,)), str(said), label)
            for label, said in zip(right, given, strict=True)
        ]
        weights, chosen = drawn_twice(random, count)
        for pick in (list(range(count)), chosen):
            truth, said = [right[row] for row in pick], [str(given[row]) for row in pick]
            union = sorted({*truth, *said})
            expected = {
                "mcc": matthews_corrcoef(truth, said),
                "cohen_kappa": cohen_kappa_score(truth, said),
                "balanced_accuracy": float(
                    np.mean([np.mean([t == s for t, s in zip(truth, said, strict=True) if t == c]) for c in {*truth}])
                ),
                "f1_weighted": f1_score(truth, said, labels=union, average="weighted", zero_division=0),
            }
            counted = weights if pick is chosen else np.ones((1, count))
            for name, value in expected.items():
                part = metric(name)
                found = part.resampled(part.statistics(rows), counted)[0]
                assert found == pytest.approx(value, abs=CLOSE, nan_ok=True), name
            if {*said} <= {*truth}:
                assert expected["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, said))


def test_one_label_for_all_is_what_chance_gives() -> None:
    rows = [Prediction(Record("r", "s", text="t", labels=("a",)), "a", "a")] * 4
    assert metric("mcc").score(rows).value == 0 == matthews_corrcoef(["a", "a", "a", "b"], ["a"] * 4)
    assert math.isnan(metric("cohen_kappa").score(rows).value)
