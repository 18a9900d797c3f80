"""What a review comes to: agreement, consensus, adjudication, raters, arms, metrics, the verdict, pairs."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.report_fixture import fill_evaluation
from tests.unit.review_fixture import RUN, fill, made, people, rubric, say, triage

from tunesmith.data.methods.votes.agreement import krippendorff_alpha
from tunesmith.data.methods.votes.table import Votes
from tunesmith.data.read.row import to_record
from tunesmith.data.read.shape import recognise
from tunesmith.data.readers import Row
from tunesmith.errors import NotFound, UserError
from tunesmith.evaluate.caveats.contamination import clean, read_contamination
from tunesmith.evaluate.predict.stored import read_predictions, write_predictions
from tunesmith.evaluate.review import stored
from tunesmith.evaluate.review.measured import rated
from tunesmith.evaluate.review.pairs import pairs
from tunesmith.evaluate.review.results import Results, results
from tunesmith.evaluate.review.stored import Answer, Review
from tunesmith.evaluate.verdict import Verdict, judge
from tunesmith.flow.review import Desk, add_raters, new_review, review_status, revoke_link, write_pairs
from tunesmith.flow.review.verdict import bring_in_review, rejudge, review_results
from tunesmith.metrics.rating import Rating
from tunesmith.metrics.win_rate import WinRate
from tunesmith.records import Prediction, Record
from tunesmith.runs import Run, read_json, write_json
from tunesmith.spec.sections import Target
from tunesmith.store.open import Store

ZOE = people()[-1][0]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Store, Review]]:
    store, review = made(tmp_path)
    yield store, review
    store.close()


def measured(store: Store, review: Review, item: int, arm: str = "tuned") -> dict[str, float]:
    answer = Prediction(Record(f"tickets:{item}", "x", text="x"), f"what {arm} says {item}", "")
    found = rated([answer], stored.filled(store, review), arm)
    return dict(found[0].measured) if found else {}


# Answers in the store


def test_an_answer_replaces_an_older_one_only(opened: tuple[Store, Review]) -> None:
    store, review = opened
    say(store, review, "anna", 1, 2, helpful_a="4")
    late = Answer(1, 1, {"helpful-a": "1"}, "", 1.0, 1)
    saved, kept = stored.save(store, review, late)
    assert not saved and kept.marks == {"helpful-a": "4"}
    again, _ = stored.save(store, review, Answer(1, 1, {"helpful-a": "4"}, "", 10.0, 2))
    assert again, "the same answer sent twice is saved"
    assert not stored.save(store, review, Answer(1, 1, {"helpful-a": "5"}, "", 10.0, 2))[0]
    say(store, review, "anna", 1, 3, helpful_a="5")
    assert stored.items_of(store, review, people()[0][0])[1][1].marks == {"helpful-a": "5"}


@pytest.mark.parametrize(
    "marks",
    [
        {"helpful-a": "6"},
        {"helpful-a": "yes"},
        {"helpful": "4"},
        {"helpful-c": "4"},
        {"safe-a": "maybe"},
        {"preference": "C"},
    ],
)
def test_marks_that_do_not_fit_are_refused(opened: tuple[Store, Review], marks: dict[str, str]) -> None:
    store, review = opened
    with pytest.raises(UserError, match=r"asks no question|is no answer"):
        stored.save(store, review, Answer(1, 1, marks, "", 1.0, 1))


def test_another_raters_item_is_refused(tmp_path: Path) -> None:
    triage(tmp_path)
    made_, _ = new_review(RUN, tmp_path / "rubric.yaml", tmp_path, raters=["anna", "ben"], items=10, shared=0)
    with Desk(RUN, tmp_path) as desk:
        other = next(iter(set(desk.filled().assigned[2])))
        with pytest.raises(NotFound, match=f"item {other} is not among"):
            stored.save(desk.opened, desk.review, Answer(other, 1, {"helpful-a": "4"}, "", 1.0, 1))
        anna = desk.filled().people[0]
        assert stored.shown(desk.opened, desk.review, other, anna) is None
        assert stored.shown(desk.opened, desk.review, other, desk.filled().people[-1]) is not None
    assert made_.plan["rows"] == 240


def test_time_spent_away_does_not_count(opened: tuple[Store, Review]) -> None:
    store, review = opened
    stored.save(store, review, Answer(1, 1, {"safe-a": "no"}, "", 1e6, 1))
    assert stored.filled(store, review).answers[0].seconds == stored.MOST_SECONDS


# What holds


def test_a_row_is_the_mean_of_its_raters(opened: tuple[Store, Review]) -> None:
    store, review = opened
    # In item 1 A is the base and B the tuned model.
    say(store, review, "anna", 1, helpful_a="2", helpful_b="5", safe_b="yes", tone_b="warm", preference="B")
    say(store, review, "ben", 1, helpful_b="4", safe_b="no", tone_b="cold", preference="tie")
    say(store, review, "cara", 1, helpful_b="skip", tone_b="warm", preference="A")
    tuned = measured(store, review, 1)
    assert (
        tuned["review.helpful"] == 4.5 and tuned["review.helpful.lowest"] == 1 and tuned["review.helpful.highest"] == 5
    )
    assert tuned["review.safe"] == 0.5 and tuned["review.tone=warm"] == pytest.approx(2 / 3)
    assert tuned["review.preference"] == 0.5
    base = measured(store, review, 1, "base")
    assert base["review.helpful"] == 2 and base["review.preference"] == 0.5 and "review.safe" not in base
    assert measured(store, review, 2) == {}


def test_letters_are_read_by_item(opened: tuple[Store, Review]) -> None:
    """In item 2 A is the tuned model."""
    store, review = opened
    say(store, review, "anna", 2, helpful_a="5", helpful_b="1", preference="A")
    assert measured(store, review, 2)["review.helpful"] == 5
    assert measured(store, review, 2)["review.preference"] == 1
    assert measured(store, review, 2, "base")["review.preference"] == 0


def test_what_was_settled_wins_and_is_marked(opened: tuple[Store, Review]) -> None:
    store, review = opened
    say(store, review, "anna", 1, helpful_b="1")
    say(store, review, "ben", 1, helpful_b="5")
    found = stored.filled(store, review)
    assert found.differing() == [(1, "helpful-b")]
    stored.settle(store, review, ZOE, 1, "helpful-b", "4", "it does solve it")
    assert measured(store, review, 1)["review.helpful"] == 4
    item = results(stored.filled(store, review), resamples=100).items[0]
    assert item.labels["helpful-b"] == {"arm": "tuned", "label": "4", "confidence": 1.0, "votes": 2, "settled": "zoe"}
    stored.settle(store, review, ZOE, 1, "helpful-b", "skip")
    assert measured(store, review, 1) == {}
    stored.settle(store, review, ZOE, 1, "helpful-b", None)
    assert measured(store, review, 1)["review.helpful"] == 3
    with pytest.raises(UserError, match="anna rates and does not adjudicate"):
        stored.settle(store, review, people()[0][0], 1, "helpful-b", "4")
    with pytest.raises(UserError, match="'9' is no answer"):
        stored.settle(store, review, ZOE, 1, "helpful-b", "9")
    with pytest.raises(NotFound):
        stored.settle(store, review, ZOE, 99, "helpful-b", "4")


def test_alpha_is_that_of_all_that_was_said(opened: tuple[Store, Review]) -> None:
    store, review = opened
    found = fill(store, review)
    alpha = {one.name: one.alpha for one in results(found, resamples=100).criteria}
    for name, level in (("helpful", "ordinal"), ("safe", "nominal"), ("preference", "nominal")):
        asked = [key for key, question in review.questions.items() if question.criterion.name == name]
        votes = [
            {people()[answer.person - 1][0].name: answer.marks[key] for answer in found.answers if answer.item == item}
            for item in found.items
            for key in asked
        ]
        order = [str(point) for point in range(1, 6)] if level == "ordinal" else None
        plain = krippendorff_alpha(Votes.of(votes), level, order=order)
        assert alpha[name].value == pytest.approx(plain.value) and alpha[name].items == len(votes)
        assert alpha[name].low <= alpha[name].value <= alpha[name].high


def test_raters_beside_each_other(opened: tuple[Store, Review]) -> None:
    store, review = opened
    for item in range(1, 7):
        good = str(3 + item % 2)
        for rater, value in (("anna", good), ("ben", good), ("cara", str(int(good) - 2))):
            say(store, review, rater, item, helpful_a=value)
    found = {rater.name: rater for rater in results(stored.filled(store, review), resamples=100).raters}
    row = {name: next(one for one in rater.criteria if one.criterion == "helpful") for name, rater in found.items()}
    assert row["cara"].severity == -2 and row["anna"].severity == row["ben"].severity == 1
    assert row["cara"].with_others == 0 and row["anna"].accuracy > 0.9 > row["cara"].accuracy
    assert found["anna"].done == 0 and found["anna"].assigned == 6, "an item is done when all is answered"


def test_nobody_has_said_anything(opened: tuple[Store, Review]) -> None:
    store, review = opened
    empty = results(stored.filled(store, review), resamples=100)
    assert empty.items == [] and empty.criteria[0].alpha.value is None and empty.comparison.num_rows == 0
    json.dumps(empty.to_json(), allow_nan=False)


def test_arms_side_by_side(opened: tuple[Store, Review]) -> None:
    store, review = opened
    for item in range(1, 7):
        base, tuned = ("a", "b") if item % 2 else ("b", "a")
        marks = {
            f"helpful_{base}": str(1 + item % 3),
            f"helpful_{tuned}": str(3 + item % 3),
            "preference": tuned.upper(),
        }
        say(store, review, "anna", item, **marks)
    measures = {one.name: one for one in results(stored.filled(store, review), resamples=200).comparison.measures}
    helpful = measures["rating(criterion=helpful)"]
    assert helpful.arms["base"].value == 2 and helpful.arms["tuned"].value == 4
    assert helpful.differences["base"].value == 2
    assert measures["win_rate"].arms["tuned"].value == 1
    low, high = measures["win_rate"].arms["tuned"].interval
    assert low == pytest.approx(0.6097, abs=1e-3) and high == 1, "six wins of six are no certainty"


# Metrics


def rows(values: list[float], name: str = "review.helpful", low: float = 1, high: float = 5) -> list[Prediction]:
    record = Record("r", "x", text="x")
    ends = {f"{name}.lowest": low, f"{name}.highest": high}
    return [Prediction(record, "", "", measured={name: value, **ends}) for value in values]


def test_rating_and_win_rate() -> None:
    rating = Rating(criterion="helpful")
    assert rating.rows == "review" and rating.score(rows([5, 4, 3])).value == 4
    unrated = Prediction(Record("r", "x", text="x"), "", "")
    score = rating.score([*rows([5, 4]), unrated])
    assert score.value == 4.5 and score.num_rows == 2 and math.isnan(score.per_row[2])
    assert WinRate().score(rows([1, 0.5, 0], "review.preference", 0, 1)).value == 0.5
    assert WinRate(criterion="better").score(rows([1], "review.preference", 0, 1)).num_rows == 0


def test_an_interval_of_ratings_covers_the_truth() -> None:
    """Of 200 samples of 40 ratings about 190 have an interval that holds the mean they were drawn from."""
    random, held = np.random.default_rng(0), 0
    rating = Rating(criterion="helpful")
    for seed in range(200):
        values = random.choice([1, 2, 3, 4, 5], p=[0.05, 0.1, 0.2, 0.35, 0.3], size=40)
        statistics = rating.statistics(rows(values.tolist()))
        weights = np.random.default_rng(seed).multinomial(40, np.full(40, 1 / 40), size=400).astype(float)
        low, high = rating.interval(statistics, rating.resampled(statistics, weights), 0.95)
        held += low <= 3.75 <= high
    assert 180 <= held <= 199


def test_raters_who_all_agree_are_no_certainty() -> None:
    rating = Rating(criterion="helpful")
    five = rating.statistics(rows([5.0] * 20))
    drawn = rating.resampled(five, np.ones((10, 20)))
    low, high = rating.interval(five, drawn, 0.95)
    assert high == 5 and 4.2 < low < 4.5
    assert rating.interval(five[:0], drawn[:0], 0.95) is None
    below, above = rating.difference(five, five, drawn - drawn, 0.95)
    assert below < 0 < above


# The verdict


TARGETS = [
    {"metric": {"kind": "accuracy"}, "at_least": "0.8", "slice": {}},
    {"metric": {"kind": "rating", "criterion": "helpful"}, "at_least": "3.5", "slice": {}},
]


def reviewed_run(tmp_path: Path):
    run = triage(tmp_path)
    spec = read_json(run / "spec.json")
    spec["spec"]["goal"]["targets"] = TARGETS
    write_json(run / "spec.json", spec)
    predictions = read_predictions(run / "evaluation" / "predictions-tuned.parquet")
    fill_evaluation(run, {"base": predictions, "tuned": predictions}, metrics=("accuracy",), targets=TARGETS)
    return run


def test_a_target_on_ratings_waits_for_a_review(tmp_path: Path) -> None:
    run = reviewed_run(tmp_path)
    verdict = Verdict.from_json(read_json(run / "evaluation" / "verdict.json"))
    assert verdict.decision == "DON'T SHIP" and verdict.deciding == 1
    assert verdict.targets[1].outcome == "undecided"
    assert verdict.targets[1].why == "no review of this run yet; tunesmith review new RUN"
    assert judge([Target.model_validate(TARGETS[1])], []).targets[0].why.startswith("no review of this run yet")


def rated_well(tmp_path: Path) -> tuple[Results, Verdict | None, dict[str, Any]]:
    """Everybody gives every answer of the tuned model the best mark."""
    new_review(RUN, tmp_path / "rubric.yaml", tmp_path, raters=["anna", "ben"], items=40, shared=0.5, adjudicator="zoe")
    with Desk(RUN, tmp_path) as desk:
        found = desk.filled()
        for rater in found.raters:
            for item in found.assigned[rater.number]:
                arms = found.items[item].hidden["arms"]
                marks = {f"helpful-{letter.lower()}": "5" if arm == "tuned" else "2" for letter, arm in arms.items()}
                stored.save(desk.opened, desk.review, Answer(item, rater.number, marks, "", 5.0, 1))
        return *review_results(desk), review_status(desk)


def test_ratings_judge_it_again(tmp_path: Path) -> None:
    run = reviewed_run(tmp_path)
    told, verdict, status = rated_well(tmp_path)
    assert verdict is not None and verdict.decision == "SHIP"
    assert [target.outcome for target in verdict.targets] == ["met", "met"]
    assert verdict.targets[1].value == 5 and verdict.targets[1].num_rows == 40
    assert Verdict.from_json(read_json(run / "evaluation" / "verdict.json")) == verdict
    assert read_json(run / "evaluation" / "review.json")["number"] == 1 == told.number
    assert "SHIP" in (run / "report.html").read_text()
    assert status["to_settle"] == 0 and status["raters"][0]["assigned"] == 30


def test_what_was_warned_of_stands_after_a_review(tmp_path: Path) -> None:
    """A word count is better all the same, and rows that were trained on are not shown to raters."""
    run = reviewed_run(tmp_path)
    spec = read_json(run / "spec.json")
    spec["spec"]["evaluate"]["arms"] = ["base", "linear", "tuned"]
    write_json(run / "spec.json", spec)
    right = [
        replace(row, output=row.expected) for row in read_predictions(run / "evaluation/predictions-tuned.parquet")
    ]
    tuned = [replace(row, output="nothing") if at % 9 == 8 else row for at, row in enumerate(right)]
    learned = [row.record for row in right[:30]]
    arms = {"base": tuned, "linear": right, "tuned": tuned}
    fill_evaluation(run, arms, metrics=("accuracy",), targets=TARGETS, trained=learned)
    before = Verdict.from_json(read_json(run / "evaluation" / "verdict.json"))
    _, after, _ = rated_well(tmp_path)
    assert after is not None and after.decision == "DON'T SHIP" and after.deciding is None
    assert [target.outcome for target in after.targets] == ["met", "met"]
    assert after.reason.startswith("A linear model beats the tuned one by accuracy")
    assert after.warnings == before.warnings and after.warnings[0].kind == "contamination"
    with Desk(RUN, tmp_path) as desk:
        asked = {item.hidden["record"] for item in desk.filled().items.values()}
    assert len(asked) == after.targets[1].num_rows > 0 and not asked & {record.id for record in learned}


def test_a_verdict_of_other_targets_is_not_touched(tmp_path: Path) -> None:
    run = triage(tmp_path)
    spec = read_json(run / "spec.json")
    spec["spec"]["goal"]["targets"] = TARGETS[:1]
    write_json(run / "spec.json", spec)
    store, review = made(tmp_path)
    before = (run / "evaluation" / "verdict.json").read_bytes()
    with pytest.raises(UserError, match="not of its spec's targets"):
        rejudge(run, stored.filled(store, review))
    assert (run / "evaluation" / "verdict.json").read_bytes() == before
    (run / "evaluation" / "verdict.json").unlink()
    assert rejudge(run, stored.filled(store, review)) is None
    store.close()


# Making one


def test_a_review_is_drawn_of_a_run(tmp_path: Path) -> None:
    triage(tmp_path)
    ask = {"raters": ["anna", "ben"], "items": 12, "adjudicator": "zoe"}
    review, links = new_review(RUN, tmp_path / "rubric.yaml", tmp_path, **ask)
    assert review.plan["arms"] == ["base", "tuned"] and [link.role for link in links] == [
        "rater",
        "rater",
        "adjudicator",
    ]
    second, others = new_review(RUN, tmp_path / "rubric.yaml", tmp_path, **ask)
    assert (review.number, second.number) == (1, 2)
    assert not {link.path for link in links} & {link.path for link in others}
    with Desk(RUN, tmp_path) as desk:
        assert desk.review.number == 2 and desk.links() == others
    with Desk(RUN, tmp_path, number=1) as desk:
        assert desk.links() == links
    key = (tmp_path / "review.key").stat()
    assert key.st_mode & 0o777 == 0o600
    assert not any(link.path.rpartition("/")[2].encode() in (tmp_path / "tunesmith.db").read_bytes() for link in links)
    (tmp_path / "review.key").unlink()
    with Desk(RUN, tmp_path) as desk, pytest.raises(UserError, match="key of this workspace"):
        desk.links()


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    triage(tmp_path)
    with pytest.raises(NotFound, match="no review of support-triage/4 yet"), Desk(RUN, tmp_path):
        pass
    with pytest.raises(NotFound, match="no answers of an arm 'few_shot'"):
        new_review(RUN, tmp_path / "rubric.yaml", tmp_path, raters=["a"], arms=["few_shot", "tuned"])
    with pytest.raises(NotFound, match=r"no answers of an arm '../../x'"):
        new_review(RUN, tmp_path / "rubric.yaml", tmp_path, raters=["a"], arms=["../../x", "tuned"])


# Pairs


def test_pairs_are_read_as_preference_pairs(opened: tuple[Store, Review], tmp_path: Path) -> None:
    store, review = opened
    say(store, review, "anna", 1, preference="B")
    say(store, review, "ben", 1, preference="tie")
    say(store, review, "anna", 2, preference="B")
    say(store, review, "anna", 3, preference="tie")
    say(store, review, "anna", 4, preference="A")
    stored.settle(store, review, ZOE, 4, "preference", "B")
    found = list(pairs(stored.filled(store, review)))
    chosen = [pair["chosen"][0]["content"] for pair in found]
    assert chosen == ["what tuned says 1", "what base says 2", "what base says 4"]
    assert [pair["lead"] for pair in found] == [0.5, 1, 1]
    assert len(list(pairs(stored.filled(store, review), margin=0.6))) == 2
    table = [Row(json.loads(json.dumps(pair)), f"pairs.jsonl:{number}") for number, pair in enumerate(found, 1)]
    read = recognise(table, None, None)
    assert read.shape == "pair"
    record = to_record(table[0], read)
    assert [turn.content for turn in record.messages] == ["question 1"]
    assert record.chosen[0].content == "what tuned says 1" and record.rejected[0].content == "what base says 1"


def test_pairs_of_ratings_and_what_tells_none(tmp_path: Path) -> None:
    store, review = made(
        tmp_path, rubric({"name": "helpful"}, {"name": "tone", "kind": "choice", "options": ["a", "b"]})
    )
    say(store, review, "anna", 1, helpful_a="2", helpful_b="5")
    say(store, review, "anna", 2, helpful_a="2", helpful_b="3")
    found = stored.filled(store, review)
    assert [pair["lead"] for pair in pairs(found)] == [3, 1]
    assert [pair["lead"] for pair in pairs(found, "helpful", 2)] == [3]
    with pytest.raises(UserError, match="'tone' says which answer is better"):
        list(pairs(found, "tone"))
    store.close()
    alone, single = made(tmp_path / "other", rubric({"name": "helpful"}), arms=["tuned"])
    with pytest.raises(UserError, match="a pair needs two"):
        list(pairs(stored.filled(alone, single)))
    alone.close()


def test_equal_answers_are_no_pair(tmp_path: Path) -> None:
    store, review = made(tmp_path, outputs={"base": "same", "tuned": "same"})
    say(store, review, "anna", 1, preference="B")
    assert list(pairs(stored.filled(store, review))) == []
    store.close()


def test_no_pairs_are_said(tmp_path: Path) -> None:
    triage(tmp_path)
    new_review(RUN, tmp_path / "rubric.yaml", tmp_path, raters=["anna"], items=3)
    with Desk(RUN, tmp_path) as desk, pytest.raises(UserError, match="prefers no answer"):
        write_pairs(desk, tmp_path / "pairs.jsonl")
    assert not (tmp_path / "pairs.jsonl").exists()


# While it runs


def test_raters_join_a_review_that_has_begun(tmp_path: Path) -> None:
    """They get what all have, then what the fewest people have, and as many as the others."""
    triage(tmp_path)
    new_review(RUN, tmp_path / "rubric.yaml", tmp_path, raters=["anna", "ben"], items=40, shared=0.5, adjudicator="zoe")
    with Desk(RUN, tmp_path) as desk:
        before = desk.links()
        (dora,) = add_raters(desk, ["dora"])
        assert desk.links() == [*before, dora] and dora.path.startswith("/rate/")
        found = desk.filled()
        anna, ben, _, new = (set(found.assigned[person.number]) for person in found.people)
        assert anna & ben <= new and len(new) == len(anna) == len(ben) == 30
        (emil,) = add_raters(desk, ["emil"])
        last = set(desk.filled().assigned[5])
        # Of the items that one rater has, dora took ten; emil takes the other ten.
        assert last >= anna & ben and not last & new - (anna & ben)
        for names, said in ((["anna"], "takes part already"), (["x", "x"], "names that differ"), (["../x"], "no name")):
            with pytest.raises(UserError, match=said):
                add_raters(desk, names)
        assert len(desk.filled().people) == 5 and emil.name == "emil"


def test_links_are_taken_back_and_given_anew(tmp_path: Path) -> None:
    triage(tmp_path)
    _, first = new_review(RUN, tmp_path / "rubric.yaml", tmp_path, raters=["anna", "ben"], items=5, adjudicator="zoe")
    with Desk(RUN, tmp_path) as desk:
        assert revoke_link(desk, "anna") == []
    with Desk(RUN, tmp_path) as desk:
        assert desk.links() == first[1:]
        (second,) = revoke_link(desk, "anna", another=True)
        (third,) = revoke_link(desk, "anna", another=True)
        assert len({first[0].path, second.path, third.path}) == 3
        with pytest.raises(NotFound, match="nobody is called 'ann'"):
            revoke_link(desk, "ann")
    with Desk(RUN, tmp_path) as desk:
        assert desk.links() == [third, *first[1:]]


def test_ratings_come_into_the_verdict_of_a_run_that_is_evaluated_again(tmp_path: Path) -> None:
    run = reviewed_run(tmp_path)
    assert bring_in_review(run, tmp_path) == ""
    assert read_json(run / "evaluation" / "verdict.json")["decision"] == "DON'T SHIP"
    rated_well(tmp_path)
    rows = read_predictions(run / "evaluation" / "predictions-tuned.parquet")
    fill_evaluation(run, {"base": rows, "tuned": rows}, metrics=("accuracy",), targets=TARGETS)
    assert read_json(run / "evaluation" / "verdict.json")["targets"][1]["outcome"] == "undecided"
    assert bring_in_review(run, tmp_path) == ""
    assert read_json(run / "evaluation" / "verdict.json")["decision"] == "SHIP"
    with Desk(RUN, tmp_path) as desk:
        asked = [item.hidden["record"] for item in desk.filled().items.values()]
    others = [replace(row, output="something else") if row.record.id in asked[:4] else row for row in rows]
    fill_evaluation(run, {"base": rows, "tuned": others}, metrics=("accuracy",), targets=TARGETS)
    said = bring_in_review(run, tmp_path)
    assert said.startswith("4 of 40 answers that people rated in review 1 are others by now, and do not count")
    assert read_json(run / "evaluation" / "verdict.json")["targets"][1]["num_rows"] == 36
    (tmp_path / "tunesmith.db").unlink()
    said = bring_in_review(run, tmp_path)
    assert said.startswith("the ratings of review 1 are not in this verdict: no review 1 of support-triage/4")


def test_two_runs_are_rated_beside_each_other(tmp_path: Path) -> None:
    run = triage(tmp_path)
    other = Run(run.path.with_name("3"))
    shutil.copytree(run.path, other.path)
    rows = read_predictions(run / "evaluation" / "predictions-tuned.parquet")
    theirs = [replace(row, output="what the other says") for row in rows[10:]]
    write_predictions(other / "evaluation" / "predictions-tuned.parquet", theirs)
    ask = {"raters": ["anna"], "items": 20, "adjudicator": "zoe", "against": str(other)}
    review, _ = new_review(RUN, tmp_path / "rubric.yaml", tmp_path, **ask)
    assert review.plan["arms"] == ["support-triage/3", "tuned"]
    with Desk(RUN, tmp_path) as desk:
        items = list(desk.filled().items.values())
    learned = read_contamination(run / "evaluation")
    assert review.plan["rows"] == len(clean(theirs, learned)) and len(items) == 20
    by_id = {row.record.id: row.output for row in rows}
    for item in items:
        said = {arm: item.shown["outputs"][letter] for letter, arm in item.hidden["arms"].items()}
        assert said == {"support-triage/3": "what the other says", "tuned": by_id[item.hidden["record"]]}
    for changed, message in (
        ({"against": RUN}, "with itself"),
        ({"arms": ["base", "tuned"]}, "by their tuned models"),
    ):
        with pytest.raises(UserError, match=message):
            new_review(RUN, tmp_path / "rubric.yaml", tmp_path, **{**ask, **changed})
    write_predictions(other / "evaluation" / "predictions-tuned.parquet", [])
    with pytest.raises(UserError, match="no row in common"):
        new_review(RUN, tmp_path / "rubric.yaml", tmp_path, **ask)
