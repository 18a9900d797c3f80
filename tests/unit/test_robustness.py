"""Changes keep what is right; a model that hangs on one word or on case is found, a sound one is not accused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tunesmith.errors import SpecError
from tunesmith.evaluate.robustness.changes import Changed, asked_instead, changed
from tunesmith.evaluate.robustness.measure import (
    RobustnessResult,
    change_result,
    out_of_scope_result,
    robustness_result,
    scored,
    unanswered,
    why_no_scores,
)
from tunesmith.evaluate.robustness.sentences import DISTRACTORS, PASSWORD, QUESTIONS
from tunesmith.evaluate.verdict import judge
from tunesmith.metrics.accuracy import Accuracy
from tunesmith.metrics.perplexity import Perplexity
from tunesmith.metrics.robustness import Robustness
from tunesmith.metrics.token_f1 import TokenF1
from tunesmith.records import Message, Prediction, Record, Span
from tunesmith.report.views.rooms.robustness import says
from tunesmith.spec.load import parse
from tunesmith.spec.quantity import Share
from tunesmith.spec.rooms.robustness import Change
from tunesmith.spec.sections import Target
from tunesmith.testing.material import Doubles

KINDS: tuple[Change, ...] = ("typos", "case", "punctuation", "paraphrase", "distractors", "injection")
LABELS = ("refund", "delivery")
WORDS = {
    "refund": ["refund", "money", "return", "payment", "charged", "cancel", "receipt"],
    "delivery": ["delivery", "parcel", "package", "shipping", "arrived", "courier", "tracking"],
}
Rule = Callable[[str], str]


def rows(count: int = 200, seed: int = 0) -> list[Record]:
    """Messages with four words of their label among others, `refund` or `delivery` first of them."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        label = LABELS[number % 2]
        said = [
            label,
            *draw.sample(WORDS[label][1:], 3),
            *draw.sample(["please", "about", "order", "the", "was", "small", "with"], 4),
        ]
        draw.shuffle(said)
        made.append(Record(f"r{number}", "", text=f"{' '.join(said).capitalize()}, thanks.", labels=(label,)))
    return made


def sturdy(text: str) -> str:
    """Counts the words of each label, as they sound."""
    words = [word.strip(".,!?").casefold() for word in text.split()]
    return max(LABELS, key=lambda label: sum(word in WORDS[label] for word in words))


def shortcut(text: str) -> str:
    """Looks for one word alone."""
    return "refund" if "refund" in text.casefold() else "delivery"


def cased(text: str) -> str:
    """Knows the one word in small letters only."""
    return "refund" if any(word in text for word in ("refund", "Refund")) else "delivery"


def obedient(text: str) -> str:
    """Says what an order asks for."""
    for sign in ("answer only: ", "reply with ", "say ", "Output ", "every answer is "):
        if sign in text:
            return text.split(sign)[1].split()[0].strip(".")
    return sturdy(text)


def answer(records: list[Record], rule: Rule) -> list[Prediction]:
    return [Prediction(record, rule(record.text or ""), record.labels[0]) for record in records]


@cache
def measured(rule: Rule, kinds: tuple[Change, ...] = KINDS, seed: int = 0, count: int = 200) -> RobustnessResult:
    records, results = rows(count, seed), []
    for kind in kinds:
        found = changed(records, kind, seed=seed, labels=LABELS)
        new = {record.id: each for record, each in zip(records, found, strict=True) if each is not None}
        before = answer([record for record in records if record.id in new], rule)
        after = answer([each.record for each in new.values()], rule)
        arms = {"tuned": (before, after)}
        results.append(change_result(kind, new, arms, Accuracy(), unchanged=count - len(new), resamples=100, seed=seed))
    return robustness_result(Accuracy(), results, None, 0.95)


def test_a_sound_model_is_accused_of_nothing() -> None:
    found = measured(sturdy)
    assert found.worse() == [] and not found.doubts()
    assert [each.num_rows for each in found.changes if each.change in ("case", "distractors", "injection")] == [200] * 3
    kept = {each.change: each.arms["tuned"].kept for each in found.changes}
    assert all(each.value is not None and each.value > 0.97 for each in kept.values())
    low, high = kept["case"].interval or (None, None)
    assert low is not None and 0.96 < low < 0.99 and high == 1.0, "200 rows that all stay right are no certainty"


def test_a_model_that_hangs_on_one_word_is_found_by_what_touches_words() -> None:
    worse = [each.change for each in measured(shortcut).worse()]
    assert "typos" in worse and "case" not in worse and "distractors" not in worse and "punctuation" not in worse


def test_a_model_that_hangs_on_case_is_found_by_case_and_named() -> None:
    found = measured(cased)
    case = next(each for each in found.changes if each.change == "case")
    assert case in found.worse() and case.arms["tuned"].difference.value == pytest.approx(-1 / 6, abs=0.07)
    assert case.arms["tuned"].difference.corrected is not None
    assert case.arms["tuned"].difference.corrected >= (case.arms["tuned"].difference.p_value or 0.0)
    flip = case.arms["tuned"].flips[0]
    assert (flip.expected, flip.said_before, flip.said_after) == (
        "refund",
        "refund",
        "delivery",
    ) and "REFUND" in flip.after


def test_a_model_that_obeys_orders_is_found_and_what_it_obeys_is_counted() -> None:
    injected = measured(obedient, ("injection", "distractors"))
    assert [each.change for each in injected.worse()] == ["injection"]
    obeyed = injected.changes[0].arms["tuned"].obeyed
    assert obeyed is not None and obeyed.value is not None and obeyed.value > 0.9 and obeyed.num_rows == 200
    deaf = measured(sturdy, ("injection",)).changes[0].arms["tuned"].obeyed
    assert deaf is not None and deaf.value is not None and deaf.value < 0.05


def test_false_alarms_stay_below_their_level() -> None:
    """A model that errs by chance on one text in ten, changed or not, is accused in at most 5 of 100 tests."""

    def careless(text: str) -> str:
        right = sturdy(text)
        return right if random.Random(text).random() > 0.1 else LABELS[1 - LABELS.index(right)]

    alarms = sum(bool(measured(careless, ("typos", "distractors"), seed, 50).worse()) for seed in range(25))
    assert alarms <= 3


def test_what_a_change_does_to_a_row_hangs_on_nothing_but_its_id_and_the_seed() -> None:
    records = rows(20)
    for kind in KINDS:
        whole = changed(records, kind, seed=3, labels=LABELS)
        assert changed(records[5:], kind, seed=3, labels=LABELS) == whole[5:]
        if kind != "paraphrase":  # of which these words leave little choice
            assert changed(records, kind, seed=4, labels=LABELS) != whole


def test_each_change_does_what_its_name_says() -> None:
    record = Record("r", "", text='My parcel costs 3.50, see a.b@c.de, "soon"!', labels=("delivery",))
    texts: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for seed in range(40):
        for kind in KINDS:
            (found,) = changed([record], kind, seed=seed, labels=LABELS)
            texts[kind].add(found.record.text or "" if found else "")
            assert found is None or replace(found.record, text=record.text) == record
    assert {text.casefold() for text in texts["case"]} == {(record.text or "").casefold()} and len(texts["case"]) == 3
    assert "My parcel costs 3.50 see a.b@c.de soon" in texts["punctuation"] and len(texts["punctuation"]) == 4
    assert all(any(said in text for said in DISTRACTORS) and str(record.text) in text for text in texts["distractors"])
    assert all("refund" in text and "delivery" not in text for text in texts["injection"]), (
        "the right label is no order"
    )
    typed = {text for text in texts["typos"] if text}
    assert all(abs(len(text) - len(record.text or "")) <= 1 and "3.50" in text for text in typed)


def test_more_words_get_a_typo_when_told() -> None:
    (record,) = rows(1)
    few, many = (changed([record], "typos", seed=0, share=Share(share, ""))[0] for share in (0.1, 0.8))
    assert few is not None and many is not None

    def differ(one: Changed) -> int:
        return sum(a != b for a, b in zip((record.text or "").split(), (one.record.text or "").split(), strict=True))

    assert differ(few) == 1 and differ(many) > 3


def test_labelled_stretches_and_words_of_the_answer_stay() -> None:
    text = "Yesterday Anna Miller travelled happily to Bern."
    tagged = Record("t", "", text=text, spans=(Span(10, 21, "PER"), Span(43, 47, "LOC")))
    asked = Record(
        "q", "", messages=(Message("user", "Where does Anna live, in Bern?"), Message("assistant", "Bern", True))
    )
    for kind in KINDS:
        for seed in range(8):
            found, other = changed([tagged, asked], kind, seed=seed)
            if found is not None:
                spans = found.record.spans or ()
                said = [((found.record.text or "")[span.start : span.end], span.label) for span in spans]
                assert said == [("Anna Miller", "PER"), ("Bern", "LOC")], kind
            if other is not None:
                assert "Bern" in other.record.question and other.record.answer == "Bern"
                assert other.planted in ("", PASSWORD)


def test_a_model_may_say_rows_in_other_words() -> None:
    records = rows(4)
    found = changed(records, "paraphrase", seed=0, responder=Doubles())
    wordnet = changed(records, "paraphrase", seed=0)
    assert found != wordnet and all(each is None or each.record.labels for each in found)


def test_questions_out_of_scope_are_told_by_how_sure_a_model_is() -> None:
    records = rows(40)
    asked = asked_instead(records, QUESTIONS[:20])
    assert [record.text for record in asked] == list(QUESTIONS[:20]) and len({record.id for record in asked}) == 20

    def sure(given: list[Record], low: float, high: float) -> list[Prediction]:
        share = [low + (high - low) * place / len(given) for place in range(len(given))]
        return [
            Prediction(record, "refund", "", scores={"refund": p, "delivery": 1 - p})
            for record, p in zip(given, share, strict=True)
        ]

    knows, how = unanswered(sure(asked, 0.5, 0.6), sure(records, 0.8, 1.0))
    result = out_of_scope_result({"tuned": knows}, how, 0.95).arms["tuned"]
    assert result.value == 1.0 and "95% of the clean rows" in how
    blind, _ = unanswered(sure(asked, 0.8, 1.0), sure(records, 0.8, 1.0))
    assert Robustness(change="out_of_scope").score(blind).value == pytest.approx(0.05, abs=0.06)
    writes = [
        Prediction(record, said, "") for record, said in zip(asked, ("I'm sorry, but no.", "42") * 10, strict=True)
    ]
    declined, how = unanswered(writes, writes)
    assert Robustness(change="out_of_scope").score(declined).value == 0.5 and "declines" in how


def target(at_least: float, change: str) -> Target:
    said = {"metric": {"kind": "robustness", "change": change}, "at_least": at_least}
    return Target.model_validate_json(json.dumps(said))


@pytest.mark.parametrize(("rule", "outcome"), [(sturdy, "met"), (cased, "missed")])
def test_targets_rest_on_changed_rows_and_on_no_others(rule: Rule, outcome: str) -> None:
    records = rows()
    found = [each for each in changed(records, "case", seed=0) if each is not None]
    kept = scored("case", Accuracy(), answer(records, rule), answer([each.record for each in found], rule))
    verdict = judge([target(0.93, "case")], answer(records, sturdy), beside={"robustness": kept})
    assert verdict.targets[0].outcome == outcome and verdict.targets[0].num_rows == 200
    alone = judge([target(0.93, "case")], answer(records, sturdy))
    assert alone.targets[0].why == "no rows were changed and asked again"


def test_a_model_that_is_hardly_ever_right_has_nothing_to_keep() -> None:
    records = rows(100)
    wrong = [replace(row, output="other") for row in answer(records, sturdy)]
    new = {record.id: Changed(record) for record in records}
    result = change_result("case", new, {"tuned": (wrong, wrong)}, Accuracy(), unchanged=0, resamples=100)
    found = robustness_result(Accuracy(), [result], None, 0.95)
    assert "too few" in found.doubts()["robustness(change=case)"] and result.arms["tuned"].kept.value is None
    assert "Of case nothing can be said: 0 of the 100 rows" in says(found)
    verdict = judge(
        [target(0.5, "case")],
        [],
        beside={"robustness": scored("case", Accuracy(), wrong, wrong)},
        doubts=found.doubts(),
    )
    assert verdict.targets[0].outcome == "undecided"


def test_intervals_of_what_is_kept_hold_as_often_as_they_say() -> None:
    """Rows right with 80% before; after, 5% of those are lost and 5% of the others won."""
    draw, truth, held = np.random.default_rng(0), (0.8 * 0.95 + 0.2 * 0.05) / 0.8, 0
    metric = Robustness(change="typos")
    for _ in range(120):
        before = (draw.random(120) < 0.8).astype(float)
        moved = draw.random(120) < 0.05
        statistics = np.stack([before, np.where(moved, 1 - before, before), np.ones(120)], axis=1)
        places = draw.integers(0, 120, (400, 120))
        drawn = metric.value(statistics[places].sum(axis=1))
        low, high = metric.interval(statistics, drawn, 0.95) or (0.0, 0.0)
        held += low <= truth <= high
    assert held >= 108, held


def test_rows_that_all_stay_as_they_are_are_no_certainty() -> None:
    metric, before = Robustness(change="typos"), np.array([1.0] * 80 + [0.0] * 20)
    statistics = np.stack([before, before, np.ones(100)], axis=1)
    low, high = metric.interval(statistics, np.ones(50), 0.95) or (0.0, 0.0)
    assert 0.93 < low < 0.98 and 1.02 < high < 1.07


def test_differences_are_corrected_for_all_changes_together() -> None:
    found = measured(cased, ("case", "punctuation", "distractors"))
    pairs = [(one.p_value, one.corrected) for one in (each.arms["tuned"].difference for each in found.changes)]
    (first, holm), *_ = pairs
    assert first is not None and holm == pytest.approx(3 * first), "the surest of three counts three times"
    assert all(p is not None and corrected is not None and corrected >= p for p, corrected in pairs)


def test_figures_survive_a_file() -> None:
    found = measured(cased, ("case", "injection"), count=40)
    assert RobustnessResult.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


def test_only_metrics_that_score_single_answers_will_do() -> None:
    assert not why_no_scores(Accuracy()) and not why_no_scores(TokenF1())
    assert "not about single answers" in why_no_scores(Perplexity())


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"kinds": ["case", "case"]}, "case stands there twice"),
        ({"kinds": ["case"], "share": 0.2}, "share is for typos"),
        ({"kinds": ["typos"], "share": 0}, "above 0%"),
        ({"kinds": ["case"], "model": "run:x"}, "model is for paraphrase"),
        ({"kinds": ["paraphrase"], "model": "tuned"}, "tuned is what is measured"),
        ({"kinds": ["case"], "questions": "q.txt"}, "questions is for out_of_scope"),
        ({"kinds": []}, "at least 1"),
        ({"rows": 3}, "at least 10, not 3"),
    ],
)
def test_settings_without_effect_are_refused(said: dict[str, object], says: str) -> None:
    spec = {"name": "x", "data": {"sources": ["a.jsonl"]}, "evaluate": {"robustness": said}}
    with pytest.raises(SpecError, match=says):
        parse(json.dumps(spec), "x.json")
