"""What metrics say at the edges, and how their settings change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from tunesmith.metrics import Metric
from tunesmith.metrics._labels import split_labels
from tunesmith.part import METRICS
from tunesmith.records import Prediction, Record, Span
from tunesmith.testing.contracts import example
from tunesmith.testing.material import Doubles


def metric(what: str | dict[str, object]) -> Metric:
    part = METRICS.make(what)
    assert isinstance(part, Metric)
    return part


def any_metric(name: str) -> Metric:
    """With what it takes, and doubles of the models it asks."""
    part = example(METRICS, name)
    assert isinstance(part, Metric)
    return part.bind(Doubles())


def said(output: str, *references: str, **fields: object) -> Prediction:
    record = Record(id="r", source="s", text="t", references=references[1:])
    return Prediction(record, output=output, expected=references[0], **fields)  # type: ignore[arg-type]


def test_the_folder_holds_the_metrics_of_the_field() -> None:
    assert METRICS.names() == [
        *("accuracy", "answer_length", "automated_readability", "average_precision", "balanced_accuracy"),
        *("bbq_bias", "bertscore", "bleu", "brier", "chrf", "cohen_kappa", "coleman_liau", "cost_per_1000"),
        *("counterfactual_flips", "demographic_parity", "demographic_parity_ratio", "ece", "entity_f1"),
        *("equal_opportunity", "equal_opportunity_ratio", "equalized_odds", "equalized_odds_ratio"),
        *("exact_match", "exposure", "extraction_rate", "f1", "f1_macro", "f1_micro", "f1_weighted"),
        *("faithfulness", "field_accuracy", "field_f1", "first_token_p50", "first_token_p95", "flesch_kincaid"),
        *("flesch_reading_ease", "gunning_fog", "json_valid", "judged", "latency_p50", "latency_p95"),
        *("latency_p99", "length_ratio", "log_loss", "mcc", "membership_auc", "membership_tpr", "meteor"),
        *("pass_at_k", "peak_memory", "perplexity", "precision", "rating", "recall", "refusal_rate"),
        *("retention", "robustness", "roc_auc", "rouge1", "rouge2", "rougeL", "sentiment", "shortcut", "smog"),
        *("stereotype_preference", "ter", "token_f1", "tokens_per_second", "toxicity", "win_rate"),
    ]


@pytest.mark.parametrize("name", METRICS.names())
def test_nothing_to_measure_is_nan(name: str) -> None:
    part = any_metric(name)
    score = part.score([])
    assert math.isnan(score.value)
    assert score.num_rows == 0
    assert score.per_row.shape == (0,)
    assert part.interval(part.statistics([]), np.empty(0), 0.95) is None


@pytest.mark.parametrize("name", METRICS.names())
def test_statistics_add_up(name: str) -> None:
    """The value of rows is the value of their summed statistics, or of their times."""
    record = Record(id="r", source="s", text="t", spans=(Span(0, 1, "A"),))
    rows = [
        Prediction(record, word, "one two", spans=(Span(0, at + 1, "A"),), nll=1.0, num_tokens=2, seconds=1 + at)
        for at, word in enumerate(["one two", "two", "one", "three four five"])
    ]
    part = any_metric(name)
    statistics = part.statistics(rows)
    assert statistics.shape[0] == len(rows)
    weights = np.array([[1.0, 1, 1, 1], [2, 0, 1, 1], [0, 0, 0, 4]])
    copies = [[row for row, times in zip(rows, line, strict=True) for _ in range(int(times))] for line in weights]
    wanted = [part.score(rows_).value for rows_ in copies]
    np.testing.assert_allclose(part.resampled(statistics, weights), wanted, atol=1e-12)


# Labels


def test_a_label_never_given_has_precision_zero_and_one_no_row_has_recall_zero() -> None:
    rows = [said("b", "a"), said("b", "b")]
    assert metric({"kind": "precision", "label": "a"}).score(rows).value == 0
    assert metric({"kind": "recall", "label": "a"}).score(rows).value == 0
    invented = [said("c", "a"), said("a", "a")]
    assert metric({"kind": "recall", "label": "c"}).score(invented).value == 0
    assert metric("f1_macro").score(invented).value == pytest.approx((2 / 3 + 0) / 2)


def test_a_label_that_does_not_occur_is_nothing_to_measure() -> None:
    assert math.isnan(metric({"kind": "f1", "label": "z"}).score([said("a", "a")]).value)


def test_only_rows_that_concern_a_label_count_for_it() -> None:
    rows = [said("a", "a"), said("b", "b"), said("b", "c")]
    score = metric({"kind": "f1", "label": "b"}).score(rows)
    assert score.num_rows == 2
    assert np.isnan(score.per_row[0])


def test_labels_are_sets_where_rows_have_several() -> None:
    record = Record(id="r", source="s", text="t", labels=("joy", "fear"))
    rows = [Prediction(record, output, "joy, fear") for output in ("fear, joy", "joy", "joy, fear, calm", "")]
    assert metric("accuracy").score(rows).per_row.tolist() == [1, 0, 0, 0]
    assert metric("f1_micro").score(rows).per_row == pytest.approx([1, 2 / 3, 0.8, 0])


def test_blanks_around_a_label_do_not_matter_and_case_does() -> None:
    assert metric("accuracy").score([said(" yes\n", "yes"), said("Yes", "yes")]).per_row.tolist() == [1, 0]


def test_a_label_with_the_joiner_in_it_is_one_label() -> None:
    known = {"Parts, labour", "Parts", "refund"}
    assert split_labels("Parts, labour", known) == {"Parts, labour"}
    assert split_labels("refund, Parts, labour", known) == {"refund", "Parts, labour"}
    assert split_labels("Parts, refund", known) == {"Parts", "refund"}
    assert split_labels(" ", known) == frozenset()


# Spans


def test_spans_count_when_bounds_and_label_are_right() -> None:
    record = Record(id="r", source="s", text="Ada in Rome", spans=(Span(0, 3, "PER"), Span(7, 11, "LOC")))
    rows = [Prediction(record, "", "", spans=(Span(0, 3, "PER"), Span(7, 10, "LOC")))]
    assert metric("entity_f1").score(rows).value == pytest.approx(0.5)
    assert metric({"kind": "entity_f1", "label": "PER"}).score(rows).value == 1
    assert metric({"kind": "entity_f1", "label": "LOC"}).score(rows).value == 0


def test_no_spans_on_either_side_is_nothing_to_measure_and_a_right_row() -> None:
    row = Prediction(Record(id="r", source="s", text="t", spans=()), "", "", spans=())
    score = metric("entity_f1").score([row])
    assert math.isnan(score.value)
    assert score.per_row.tolist() == [1.0]


def test_a_model_that_does_not_tag_has_no_entity_f1() -> None:
    row = Prediction(Record(id="r", source="s", text="t", spans=(Span(0, 1, "A"),)), "some words", "")
    score = metric("entity_f1").score([row])
    assert math.isnan(score.value)
    assert score.num_rows == 0


# Answers


@pytest.mark.parametrize(
    ("compare", "answer", "reference", "equal"),
    [
        ("words", "The cat!", "a CAT", True),
        ("words", "cats", "cat", False),
        ("text", " x = a\n", "x = a", True),
        ("text", "x = A", "x = a", False),
        ("json", '{"a": 1, "b": [1, 2]}', '{"b":[1,2],"a":1.0}', True),
        ("json", '{"a": [2, 1]}', '{"a": [1, 2]}', False),
        ("json", '{"a": true}', '{"a": 1}', False),
        ("json", '{"a": "The cat"}', '{"a": "cat"}', False),
        ("json", '{"a": 1', '{"a": 1}', False),
        ("json", '{"a": "x"}', '{"a": "x"}}', False),
        ("json", "no json ", "no json", True),
        ("json", "[" * 100_000, "{}", False),
        ("json", "1e999", "{}", False),
        ("auto", '{"b": 2, "a": 1}', '{"a": 1, "b": 2}', True),
        ("auto", '{"a": "The cat"}', '{"a": "cat"}', False),
        ("auto", "the 42!", "42", True),
    ],
)
def test_exact_match_compares_as_it_is_told(compare: str, answer: str, reference: str, equal: bool) -> None:
    assert metric({"kind": "exact_match", "compare": compare}).score([said(answer, reference)]).value == equal


def test_exact_match_goes_by_the_task_unless_told() -> None:
    code = [said("x = the", "x = a")]
    auto = metric("exact_match")
    assert auto.score(code).value == 1
    assert auto.for_task("code").score(code).value == 0
    assert auto.for_task("answer") is auto
    words = metric({"kind": "exact_match", "compare": "words"})
    assert words.for_task("code") is words
    # An extraction whose right answer is no JSON is compared whole.
    assert auto.for_task("extract").score([said("the Cat", "cat")]).value == 0


@pytest.mark.parametrize("name", ["exact_match", "token_f1", "rouge1", "rougeL", "chrf"])
def test_the_best_right_answer_counts(name: str) -> None:
    part = metric(name)
    assert part.score([said("cat sat", "dog", "cat sat")]).value == pytest.approx(part.highest)


def test_two_empty_answers_agree() -> None:
    assert metric("token_f1").score([said("", "The"), said("", "cat"), said("cat", "")]).per_row.tolist() == [1, 0, 0]


def test_rouge_stemmer_cuts_endings() -> None:
    rows = [said("running dogs", "run dog")]
    assert metric("rouge1").score(rows).value == 0
    assert metric({"kind": "rouge1", "stemmer": True}).score(rows).value == 1


# Likelihood and time


def test_perplexity_weighs_tokens_not_rows() -> None:
    rows = [said("", "x", nll=0.0, num_tokens=3, num_chars=1), said("", "x", nll=4.0, num_tokens=1, num_chars=7)]
    assert metric("perplexity").score(rows).value == pytest.approx(math.e)
    per_character = metric({"kind": "perplexity", "per": "character"})
    assert per_character.score(rows).value == pytest.approx(math.exp(0.5))


def test_perplexity_leaves_rows_without_nll_out() -> None:
    score = metric("perplexity").score([said("", "x"), said("", "x", nll=2.0, num_tokens=2)])
    assert score.value == pytest.approx(math.e)
    assert score.num_rows == 1


def test_perplexity_of_a_broken_model_is_huge_and_finite() -> None:
    assert metric("perplexity").score([said("", "x", nll=1e6, num_tokens=1)]).value == pytest.approx(math.exp(700))


def test_latency_reads_only_rows_timed_by_themselves() -> None:
    rows = [said("", "x", seconds=seconds) for seconds in (0.1, 0.0, 0.3, 0.2, 0.0)]
    score = metric("latency_p50").score(rows)
    assert score.value == pytest.approx(200)
    assert score.num_rows == 3
    assert metric("latency_p99").score(rows).value == pytest.approx(300)


# Names


def test_names_tell_settings_that_are_not_the_default() -> None:
    assert metric("f1").name == "f1"
    assert metric({"kind": "f1", "label": "spam"}).name == "f1(label=spam)"
    assert metric({"kind": "bleu", "tokenize": "zh", "lowercase": True}).name == "bleu(tokenize=zh, lowercase=True)"
    assert metric({"kind": "bleu", "tokenize": "13a"}).name == "bleu"


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError):
        metric({"kind": "f1_macro", "label": "spam"})
