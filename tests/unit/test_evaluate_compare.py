"""Comparisons: paired, by slice, seeded, and quick."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tunesmith.errors import GateFailed
from tunesmith.evaluate.compare import MOST_SLICES, NONE, REST, SMALL, compare
from tunesmith.evaluate.comparison import Comparison, Measure
from tunesmith.evaluate.statistics.resample import draw, weights
from tunesmith.evaluate.statistics.significance import holm
from tunesmith.metrics import Metric
from tunesmith.metrics._intervals import mcnemar, two_sided
from tunesmith.part import METRICS
from tunesmith.records import Message, Prediction, Record, Span
from tunesmith.testing.contracts import example
from tunesmith.testing.material import Doubles, predictions


def metrics(*whats: str | dict[str, object]) -> list[Metric]:
    parts = [METRICS.make(what) for what in whats]
    return [part for part in parts if isinstance(part, Metric)]


def labelled(given: Sequence[str], right: Sequence[str], channels: Sequence[str] | None = None) -> list[Prediction]:
    return [
        Prediction(
            Record(
                f"r{at}",
                f"s:{at}",
                text=f"text {at}",
                labels=(b,),
                slices={"channel": channels[at]} if channels else {},
            ),
            output=a,
            expected=b,
        )
        for at, (a, b) in enumerate(zip(given, right, strict=True))
    ]


def noisy(right: np.ndarray, keep: float, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    other = random.choice(np.unique(right), len(right))
    return np.where(random.random(len(right)) < keep, right, other).tolist()


RIGHT = np.random.default_rng(0).choice(["a", "b", "c"], 300, p=[0.5, 0.3, 0.2])
CHANNELS = np.random.default_rng(1).choice(["email", "phone", "fax"], 300, p=[0.6, 0.35, 0.05]).tolist()
BASE = labelled(noisy(RIGHT, 0.4, 2), RIGHT.tolist(), CHANNELS)
TUNED = labelled(noisy(RIGHT, 0.9, 3), RIGHT.tolist(), CHANNELS)


def measure(comparison: Comparison, name: str) -> Measure:
    return next(found for found in comparison.measures if found.name == name)


# Resamples


def test_weights_draw_as_many_rows_as_there_are() -> None:
    drawn = np.concatenate(list(weights(50, 3000, 0)))
    assert drawn.shape == (3000, 50)
    assert (drawn.sum(axis=1) == 50).all()
    # Each row is drawn Binomial(50, 1/50) often.
    assert drawn.mean() == pytest.approx(1)
    assert drawn.var() == pytest.approx(0.98, abs=0.02)


def test_resamples_come_in_chunks_that_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    part = metrics("token_f1")[0]
    statistics = np.stack([np.arange(40.0), np.ones(40)], axis=-1)
    whole = draw([(part, statistics)], 500, 3)[0]
    monkeypatch.setattr("tunesmith.evaluate.statistics.resample._CHUNK", 40 * 7)
    np.testing.assert_array_equal(draw([(part, statistics)], 500, 3)[0], whole)
    assert len(whole) == 500


def test_the_p_value_counts_the_other_side() -> None:
    assert two_sided(np.array([1.0] * 95 + [-1.0] * 4)) == pytest.approx(2 * 5 / 100)
    assert two_sided(np.zeros(99)) == 1
    assert two_sided(np.array([np.nan])) is None


def test_a_p_value_is_not_bounded_by_how_many_resamples_there_are() -> None:
    """Twelve standard errors off 0 stay a difference, however many others are looked at beside it."""
    random = np.random.default_rng(6)
    far, near = random.normal(12, 1, 200), random.normal(3.2, 1, 200)
    assert 1e-40 < (two_sided(far) or 1) < 1e-20
    assert two_sided(np.abs(near)) == pytest.approx(2 * stats.norm.sf(near.mean() / near.std()), rel=0.2)
    assert two_sided(np.full(200, 0.5)) == pytest.approx(2 / 201)


def test_the_p_value_is_even_where_there_is_no_difference() -> None:
    random = np.random.default_rng(4)
    part = metrics("token_f1")[0]
    small = 0
    for seed in range(400):
        both = random.random((2, 100, 1))
        ones = np.ones((100, 1))
        arms = [(part, np.hstack([scores, ones])) for scores in both]
        after, before = draw(arms, 400, seed)
        small += (two_sided(after - before) or 1) < 0.1
    assert small / 400 == pytest.approx(0.1, abs=0.05)


# Values, differences


def test_the_difference_is_paired() -> None:
    """Two arms that err on nearly the same rows differ surely, though their own intervals overlap."""
    right = ["a"] * 200
    before = ["b"] * 60 + ["a"] * 140
    after = ["b"] * 48 + ["a"] * 152
    found = compare({"base": labelled(before, right), "tuned": labelled(after, right)}, metrics("accuracy", "f1_micro"))
    for one in found.measures:
        base, tuned, difference = one.arms["base"].interval, one.arms["tuned"].interval, one.differences["base"]
        assert base and tuned and difference and difference.interval
        assert base[1] > tuned[0]  # type: ignore[operator]
        assert difference.value == pytest.approx(0.06)
        assert difference.interval[0] > 0  # type: ignore[operator]
        assert difference.p_value is not None and difference.p_value < 0.01
        assert (difference.num_rows, one.arms["base"].num_rows) == (200, 200)


def test_the_order_of_rows_does_not_matter() -> None:
    shuffled = [TUNED[at] for at in np.random.default_rng(5).permutation(len(TUNED))]
    parts = metrics("accuracy", "f1_macro")
    assert compare({"base": BASE, "tuned": TUNED}, parts) == compare({"base": BASE, "tuned": shuffled}, parts)


def test_arms_of_other_rows_are_refused() -> None:
    for other in (TUNED[:-1], [*TUNED[:-1], TUNED[0]]):
        with pytest.raises(GateFailed, match="same rows"):
            compare({"base": BASE, "tuned": other}, metrics("accuracy"))


def test_it_is_seeded() -> None:
    parts = metrics("f1_macro")
    first = compare({"base": BASE, "tuned": TUNED}, parts, seed=1)
    assert first == compare({"base": BASE, "tuned": TUNED}, parts, seed=1)
    other = compare({"base": BASE, "tuned": TUNED}, parts, seed=2)
    assert first.measures[0].arms["tuned"].interval != other.measures[0].arms["tuned"].interval


def test_more_confidence_is_wider() -> None:
    narrow, wide = (
        compare({"base": BASE, "tuned": TUNED}, metrics("f1_macro", "accuracy"), confidence=confidence)
        for confidence in (0.8, 0.99)
    )
    for one, other in zip(narrow.measures, wide.measures, strict=True):
        inside, outside = one.arms["tuned"].interval, other.arms["tuned"].interval
        assert inside and outside
        assert outside[0] < inside[0] < inside[1] < outside[1]  # type: ignore[operator]


def test_one_arm_has_no_difference_and_three_compare_the_last_with_each() -> None:
    assert compare({"tuned": TUNED}, metrics("accuracy")).measures[0].differences == {}
    three = compare({"base": BASE, "same": TUNED, "tuned": TUNED}, metrics("accuracy")).measures[0]
    two = compare({"base": BASE, "tuned": TUNED}, metrics("accuracy")).measures[0]
    assert replace(three.differences["base"], corrected=None) == replace(two.differences["base"], corrected=None)
    assert list(three.differences) == ["base", "same"]
    assert (three.differences["same"].value, three.differences["same"].p_value) == (0, 1)


def test_the_p_value_of_a_proportion_is_mcnemars() -> None:
    contingency = pytest.importorskip("statsmodels.stats.contingency_tables")
    right = ["a"] * 100
    before, after = ["a"] * 70 + ["b"] * 30, ["a"] * 62 + ["b"] * 8 + ["a"] * 19 + ["b"] * 11
    found = compare({"base": labelled(before, right), "tuned": labelled(after, right)}, metrics("accuracy"))
    exact = contingency.mcnemar([[62, 8], [19, 11]], exact=True).pvalue
    assert found.measures[0].differences["base"].p_value == pytest.approx(exact, rel=1e-12)


def test_many_differences_are_corrected_for_each_other() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    other = labelled(noisy(RIGHT, 0.87, 9), RIGHT.tolist(), CHANNELS)
    arms = {"base": BASE, "other": other, "tuned": TUNED}
    found = compare(arms, metrics("accuracy", "f1_macro", {"kind": "f1", "label": "c"}), slices=["channel"])
    whole = [one for measure in found.measures for one in measure.differences.values()]
    parts = [one for measure in found.measures for part in measure.slices for one in part.differences.values()]
    for family in (whole, parts):
        known = [one for one in family if one.p_value is not None]
        wanted = multitest.multipletests([one.p_value for one in known], method="holm")[1]
        assert [one.corrected for one in known] == pytest.approx(wanted.tolist(), rel=1e-12)
        assert any(one.corrected > one.p_value for one in known)  # type: ignore[operator]


def test_noise_looked_at_often_is_rarely_taken_for_a_gain() -> None:
    """Ten arms like the tuned one: without the correction two in five comparisons claim something."""
    random = np.random.default_rng(11)
    alone = together = 0
    for _ in range(300):
        p_values = []
        tuned = random.random(80) < 0.7
        for _ in range(10):
            arm = random.random(80) < 0.7
            p_values.append(mcnemar(int((tuned & ~arm).sum()), int((arm & ~tuned).sum())))
        alone += min(p_values) < 0.05
        together += min(holm(p_values)) < 0.05
    assert alone / 300 > 0.1
    assert together / 300 <= 0.06


def test_the_task_settles_metrics_that_go_by_it() -> None:
    row = Prediction(Record("r", "s", text="t"), output="x = the", expected="x = a")
    assert compare({"tuned": [row]}, metrics("exact_match")).measures[0].arms["tuned"].value == 1
    code = compare({"tuned": [row]}, metrics("exact_match"), task="code").measures[0]
    assert (code.arms["tuned"].value, code.name) == (0, "exact_match(compare=text)")


def test_three_thousand_rows_take_seconds() -> None:
    random = np.random.default_rng(6)
    right = random.choice([f"label {at}" for at in range(77)], 3000)
    channels = random.choice(["email", "phone", "chat"], 3000).tolist()
    arms = {
        "base": labelled(noisy(right, 0.5, 7), right.tolist(), channels),
        "tuned": labelled(noisy(right, 0.9, 8), right.tolist(), channels),
    }
    started = time.process_time()
    compare(arms, metrics("accuracy", "f1_macro", "f1_micro"), slices=["channel"], resamples=2000)
    assert time.process_time() - started < 15


# Slices


def test_slices_are_measured_by_themselves() -> None:
    found = measure(
        compare({"base": BASE, "tuned": TUNED}, metrics("accuracy", "f1_macro"), slices=["channel"]), "f1_macro"
    )
    assert [one.value for one in found.slices] == ["email", "phone", "fax"]
    for one in found.slices:
        rows = [at for at, channel in enumerate(CHANNELS) if channel == one.value]
        alone = compare(
            {"base": [BASE[at] for at in rows], "tuned": [TUNED[at] for at in rows]}, metrics("accuracy", "f1_macro")
        )
        assert one.num_rows == len(rows)
        assert one.arms == measure(alone, "f1_macro").arms
        apart = measure(alone, "f1_macro").differences["base"]
        assert replace(one.differences["base"], corrected=None) == replace(apart, corrected=None)
        assert one.small == (len(rows) < SMALL)
    assert [one.small for one in found.slices] == [False, False, True]


def test_rows_without_the_column_and_rare_values_are_told() -> None:
    rows = labelled(["a"] * 100, ["a"] * 100, [f"customer {min(at, 60)}" for at in range(100)])
    found = compare({"tuned": rows}, metrics("accuracy"), slices=["channel", "region"]).measures[0].slices
    by_channel = [one for one in found if one.column == "channel"]
    assert len(by_channel) == MOST_SLICES + 1
    assert by_channel[-1].value == REST
    assert sum(one.num_rows for one in by_channel) == 100
    assert [(one.value, one.num_rows) for one in found if one.column == "region"] == [(NONE, 100)]


# Labels


def test_confusion_and_classes_count_labels() -> None:
    rows = labelled(["a", "a", "b", "made up", ""], ["a", "b", "b", "b", "a"])
    labels = compare({"tuned": rows}, metrics("accuracy")).labels
    assert labels is not None
    assert labels.names == ["a", "b", "(other)"]
    assert labels.confusion["tuned"] == [[1, 0, 1], [1, 1, 1], [0, 0, 0]]
    a, b, other = labels.classes["tuned"]
    assert (a.precision, a.recall, a.f1, a.support, a.predicted) == (0.5, 0.5, 0.5, 2, 2)
    assert (b.precision, b.recall, b.support, b.predicted) == (1, pytest.approx(1 / 3), 3, 1)
    assert (other.precision, other.recall, other.f1, other.support, other.predicted) == (0, 0, 0, 0, 2)


def test_several_labels_have_classes_and_no_confusion() -> None:
    record = Record("r", "s", text="t", labels=("a", "b"))
    labels = compare({"tuned": [Prediction(record, "b, c", "a, b")]}, metrics("f1_micro")).labels
    assert labels is not None
    assert labels.confusion == {}
    assert [(one.label, one.f1) for one in labels.classes["tuned"]] == [("a", 0), ("b", 1), ("(other)", 0)]


def test_spans_have_classes_by_their_label() -> None:
    record = Record("r", "s", text="Ada Ada Rome", spans=(Span(0, 3, "PER"), Span(4, 7, "PER"), Span(8, 12, "LOC")))
    row = Prediction(record, "", "", spans=(Span(0, 3, "PER"), Span(8, 12, "PER")))
    labels = compare({"tuned": [row]}, metrics("entity_f1")).labels
    assert labels is not None
    loc, per = labels.classes["tuned"]
    assert (loc.label, loc.recall, loc.support) == ("LOC", 0, 1)
    assert (per.label, per.precision, per.recall, per.predicted) == ("PER", 0.5, 0.5, 2)


# Rows worth reading


def test_cases_are_the_best_and_worst_rows_and_those_that_changed() -> None:
    def row(name: str, output: str, sure: float) -> Prediction:
        return Prediction(
            Record(name, f"s:{name}", text=name, labels=("a",)), output, "a", scores={"a": sure, "b": 1 - sure}
        )

    base = [row("kept", "a", 0.9), row("won", "b", 0.3), row("lost", "a", 0.8), row("never", "b", 0.4)]
    tuned = [row("kept", "a", 0.99), row("won", "a", 0.6), row("lost", "b", 0.4), row("never", "b", 0.01)]
    cases = compare({"base": base, "tuned": tuned}, metrics("accuracy")).cases
    assert cases is not None and cases.metric == "accuracy"
    assert [case.id for case in cases.best] == ["kept", "won", "lost", "never"]
    assert [case.id for case in cases.worst] == ["never", "lost", "won", "kept"]
    assert [case.id for case in cases.improved] == ["won"]
    assert [case.id for case in cases.regressed] == ["lost"]
    assert cases.improved[0].outputs == {"base": "b", "tuned": "a"}
    assert cases.improved[0].scores == {"base": 0, "tuned": 1}
    assert cases.improved[0].prompt == "won"


def test_cases_know_which_way_is_good() -> None:
    rows = [Prediction(Record(str(at), "s", text="t"), "", "", nll=float(at), num_tokens=1) for at in range(1, 5)]
    cases = compare({"tuned": rows}, metrics("perplexity")).cases
    assert cases is not None
    assert [case.id for case in cases.best] == ["1", "2", "3", "4"]
    assert cases.improved == []


def test_cases_show_what_was_asked_and_clip_long_texts() -> None:
    turns = (Message("system", "Be brief."), Message("user", "Why?"), Message("assistant", "x", trained=True))
    row = Prediction(Record("r", "s", messages=turns), "y" * 5000, "x")
    cases = compare({"tuned": [row]}, metrics("token_f1")).cases
    assert cases is not None
    assert cases.best[0].prompt == "Be brief.\nWhy?"
    assert len(cases.best[0].outputs["tuned"]) == 2000


def test_lengths_tell_of_answers_not_of_labels() -> None:
    rows = [Prediction(Record(str(at), "s", text="t"), "x" * at, "yy") for at in range(1, 101)]
    lengths = compare({"tuned": rows}, metrics("token_f1")).lengths
    assert (lengths["expected"].mean, lengths["tuned"].mean) == (2, 50.5)
    assert (lengths["tuned"].p5, lengths["tuned"].p50, lengths["tuned"].p95, lengths["tuned"].max) == (5, 50, 95, 100)
    assert compare({"tuned": TUNED}, metrics("accuracy")).lengths == {}


# JSON


def test_json_goes_both_ways() -> None:
    found = compare({"base": BASE, "tuned": TUNED}, metrics("accuracy", "f1_macro"), slices=["channel"], resamples=200)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Comparison.from_json(json.loads(text)) == found


def test_nothing_to_measure_is_null() -> None:
    rows = [Prediction(Record("r", "s", text="t"), "x", "x")]
    plain = compare({"base": rows, "tuned": rows}, metrics("perplexity", "latency_p95")).to_json()
    json.dumps(plain, allow_nan=False)
    for one in plain["measures"]:
        assert one["arms"]["tuned"] == {"value": None, "interval": None, "num_rows": 0}
        assert one["highest"] is None


def test_an_open_end_is_null() -> None:
    rows = [Prediction(Record(str(at), "s", text="t"), "x", "x", seconds=at / 100) for at in range(1, 21)]
    found = compare({"tuned": rows}, metrics("latency_p99")).measures[0].arms["tuned"]
    assert found.interval == (pytest.approx(190), None)


def test_no_rows_at_all_compare_to_nothing() -> None:
    found = compare({"base": [], "tuned": []}, metrics("accuracy", "bleu", "latency_p50"), slices=["channel"])
    assert found.num_rows == 0
    assert found.cases is None
    assert all(one.arms["tuned"].value is None for one in found.measures)
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize("name", METRICS.names())
def test_what_any_metric_comes_to_can_be_written(name: str) -> None:
    """Ends that a metric does not have are told as such: JSON knows no infinity."""
    rows, metric = predictions(), example(METRICS, name)
    assert isinstance(metric, Metric)
    found = compare({"base": rows, "tuned": rows[::-1]}, [metric.bind(Doubles())], resamples=50)
    json.dumps(found.to_json(), allow_nan=False)
    assert Comparison.from_json(found.to_json()) == found
