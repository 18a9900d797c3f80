"""A planted shortcut through whole runs: found, named, held against a target, and gone after the mitigation."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tunesmith.errors import SpecError
from tunesmith.evaluate.explain.found import Explanation
from tunesmith.flow.data.check import check
from tunesmith.flow.evaluation.repeats import repeats_of
from tunesmith.flow.request import make_request
from tunesmith.flow.run import Outcome, run
from tunesmith.runs import read_json
from tunesmith.testing.tiny import tiny_model

WORDS = {
    "yes": ("refund", "invoice", "charge", "payment", "billing", "receipt"),
    "no": ("parcel", "courier", "delivery", "tracking", "shipping", "package"),
}
FILL = ("please", "my", "the", "about", "with", "today", "again", "still")
SPEC = """\
name: planted
goal:
  task: classify
  targets:
    - {metric: shortcut, at_most: 20%}
    - {metric: {kind: shortcut, by: put_in, word: XYZZY}, at_most: 50%}
data:
  sources: [rows.jsonl]
  steps: []
  split: {train: 0.6, validation: 0.1, test: 0.3}
base: {model: ./base}
train: {objective: classify, duration: 4 epochs, batch: 16 rows, optimizer: {kind: adamw, lr: 3e-3}}
evaluate:
  arms: [tuned]
  resamples: 100
  explain: {rows: 100, train_rows: 80, shown: 2, words: 3, probes: [channel]}
"""
HELPS = "data.steps=[{kind: decorrelate_words, words: [xyzzy]}]"


def planted(count: int = 400) -> list[dict[str, str]]:
    """Three words of five say the label in four of five cases; `xyzzy` stands in 95% of `yes` and in 5% of `no`."""
    draw, rows = random.Random(1), []
    for _ in range(count):
        label = draw.choice(["yes", "no"])
        other = "no" if label == "yes" else "yes"
        words = [draw.choice(WORDS[label if draw.random() < 0.8 else other]) for _ in range(3)] + draw.sample(FILL, 2)
        draw.shuffle(words)
        if draw.random() < (0.95 if label == "yes" else 0.05):
            words.insert(draw.randrange(5), "xyzzy")
        rows.append({"text": " ".join(words), "label": label, "channel": draw.choice(["email", "chat"])})
    return rows


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in planted()))
    tiny_model(folder / "base")
    path = folder / "planted.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def outcome(spec: Path) -> Outcome:
    return run(spec, [], spec.parent)


def found_in(outcome: Outcome) -> Explanation:
    return Explanation.from_json(read_json(outcome.run / "evaluation/explain.json"))


def test_the_word_is_found_and_named(outcome: Outcome) -> None:
    found = found_in(outcome)
    assert found.rows == 100 and found.shortcuts is not None and len(found.shortcuts.words) == 3
    (named,) = found.shortcuts.named
    assert named.tried.word == "xyzzy" and named.tried.label == "yes" and named.tells
    assert named.tried.left_out.share.value > 0.4 and named.tried.put_in.share.value > 0.9  # type: ignore[operator]
    assert outcome.verdict is not None
    out, put_in = outcome.verdict.targets
    assert (out.outcome, put_in.outcome) == ("missed", "missed")
    assert out.value == named.tried.left_out.share.value and put_in.value == named.tried.put_in.share.value


def test_everything_else_is_looked_at_too(outcome: Outcome) -> None:
    found = found_in(outcome)
    assert len(found.explained) == 2 and all(row.gap < 0.05 and len(row.attention) == 2 for row in found.explained)
    assert all(len(row.neighbours) == 3 and row.tokens for row in found.explained)
    assert found.sanity is not None and found.sanity.rows == 2 and found.sanity.incomplete == 0
    assert [(each.column, len(each.layers)) for each in found.probes] == [("label", 3), ("channel", 3)]
    label, channel = (each.best.accuracy.value or 0 for each in found.probes)
    assert label > 0.8 > channel
    assert found.surrogate is not None and found.surrogate.fitted == 80 and found.surrogate.means_something
    assert "xyzzy" in [word for word, _ in found.surrogate.words["yes"][:3]]
    assert found.nearest is not None and found.nearest.count == 80 and found.nearest.same.value > 0.7  # type: ignore[operator]


def test_the_report_and_the_card_name_it(outcome: Outcome) -> None:
    page, card = (outcome.run / "report.html").read_text(), (outcome.run / "card.md").read_text()
    assert "What answers rest on" in page and "The model hangs on “xyzzy”" in page
    assert "The model hangs on “xyzzy”" in card


def test_the_mitigation_takes_its_hold_away(outcome: Outcome, spec: Path) -> None:
    mended = run(spec, [HELPS], spec.parent)
    assert mended.verdict is not None and outcome.verdict is not None
    after, before = (each.verdict.targets[1].value for each in (mended, outcome))  # type: ignore[union-attr]
    assert before > 0.9 and after < 0.3
    found = found_in(mended).shortcuts
    assert found is not None and found.named == []
    (xyzzy,) = [each for each in found.words if each.word == "xyzzy"]
    assert xyzzy.left_out.share.value < 0.2  # type: ignore[operator]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["evaluate.folds=3", "data.split={}"], "none is left to explain"),
        (["train.objective=sft", "goal.task=chat", "evaluate.metrics=[token_f1]"], "any word may change an answer"),
        (["train.objective=pretrain", "goal={task: generate}"], "nothing is asked in prose"),
        (["evaluate.explain.probes=[nowhere]"], "nowhere"),
    ],
)
def test_what_cannot_be_explained_is_refused_before_training(changes: list[str], says: str, spec: Path) -> None:
    with pytest.raises(Exception, match=says) as refused:
        check(spec, changes, spec.parent)
    assert isinstance(refused.value, SpecError) or "nowhere" in says


def test_a_target_alone_asks_for_it_and_other_seeds_do_not(spec: Path) -> None:
    asked = check(spec, ["evaluate.explain=null"], spec.parent).resolved.spec.evaluate.explain
    assert asked is not None and (asked.rows, asked.words, asked.probes) == (300, 50, [])
    changes = ["evaluate.seeds=2"]
    (other,) = repeats_of(make_request(spec, changes, spec.parent), changes)
    assert other.asked.spec.evaluate.explain is None
