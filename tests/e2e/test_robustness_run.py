"""Changed rows through a whole run: what is written and shown, what decides, what is refused before training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.desk import make_desk
from tunesmith.errors import NotFound, SpecError
from tunesmith.evaluate.predict.stored import read_predictions
from tunesmith.evaluate.robustness.measure import RobustnessResult
from tunesmith.flow.data.check import check
from tunesmith.flow.evaluation.repeats import repeats_of
from tunesmith.flow.request import make_request
from tunesmith.flow.run import Outcome, run
from tunesmith.runs import read_json

ASKED = [
    "evaluate.robustness={kinds: [case, distractors, injection, out_of_scope], rows: 16, questions: questions.txt}",
    "evaluate.resamples=100",
    "evaluate.arms=[majority, base, tuned]",
    "train.objective=classify",
]
TARGETS = (
    "goal.targets=[{metric: {kind: robustness, change: distractors}, at_least: 0.3}, "
    "{metric: {kind: robustness, change: distractors}, at_least: 0.3, slice: {channel: email}}, "
    "{metric: {kind: robustness, change: out_of_scope}, at_least: 0.99}]"
)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("robustness")
    (folder / "questions.txt").write_text("How do bees dance?\n\nWhy is the sky up?\n" * 6)
    return make_desk(folder, duration="3 epochs")


@pytest.fixture(scope="module")
def outcome(spec: Path) -> Outcome:
    return run(spec, [*ASKED, TARGETS], spec.parent)


def test_a_run_writes_what_changes_do(outcome: Outcome) -> None:
    found = RobustnessResult.from_json(read_json(outcome.run / "evaluation/robustness.json"))
    assert found.metric == "accuracy" and [each.change for each in found.changes] == [
        "case",
        "distractors",
        "injection",
    ]
    for each in found.changes:
        assert set(each.arms) == {"base", "tuned"} and each.num_rows == 16
        assert each.arms["tuned"].before.num_rows == 16 and each.arms["tuned"].difference.corrected is not None
    assert found.out_of_scope is not None and found.out_of_scope.num_rows == 12
    rows = read_predictions(outcome.run / "evaluation/robustness.parquet")
    assert len(rows) == 3 * 16 + 12


def test_the_verdict_rests_on_them(outcome: Outcome) -> None:
    assert outcome.verdict is not None
    whole, email, outside = outcome.verdict.targets
    assert whole.outcome == "met" and whole.num_rows == 16 and "robustness(change=distractors)" in whole.title
    assert 0 < email.num_rows < 16
    assert outside.num_rows == 12 and outside.outcome == "missed"


def test_the_report_and_the_card_show_them(outcome: Outcome) -> None:
    page, card = (outcome.run / "report.html").read_text(), (outcome.run / "card.md").read_text()
    assert "What changed input does" in page and "Questions out of scope" in page and "12 questions" in page
    assert "### Changed input" in card and "Distractors: a sentence about something else" in card


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["goal.targets=[{metric: {kind: robustness, change: typos}, at_least: 0.9}]"], "typos is not among"),
        (["evaluate.folds=3", "data.split={}"], "none is left to change"),
        (["evaluate.robustness.metric=perplexity"], "not about single answers"),
        (["evaluate.robustness.metric=token_f1"], "token_f1 needs text"),
        (["evaluate.metrics=[brier]"], "no metric of evaluate.metrics scores single answers"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(changes: list[str], says: str, spec: Path) -> None:
    with pytest.raises(SpecError, match=says):
        check(spec, [*ASKED, *changes], spec.parent)


def test_a_target_alone_asks_for_its_change(spec: Path) -> None:
    wanted = "goal.targets=[{metric: {kind: robustness, change: typos}, at_least: 0.9}]"
    asked = check(spec, [wanted], spec.parent).resolved.spec.evaluate.robustness
    assert asked is not None and asked.kinds == ["typos"] and asked.rows == 200


def test_a_file_of_questions_has_to_be_there(spec: Path) -> None:
    with pytest.raises(NotFound, match=r"no file of questions 'none\.txt'"):
        check(spec, [*ASKED, "evaluate.robustness.questions=none.txt"], spec.parent)


def test_other_seeds_are_not_asked(spec: Path) -> None:
    changes = [*ASKED, "evaluate.seeds=2"]
    (other,) = repeats_of(make_request(spec, changes, spec.parent), changes)
    assert other.asked.spec.evaluate.robustness is None
