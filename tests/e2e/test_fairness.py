"""`evaluate.fairness` through the real command line: from the spec to figures, targets, report and card."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.desk import tunesmith
from tunesmith.testing.tiny import tiny_model

SPEC = """\
name: files
goal:
  task: classify
  targets:
    - {metric: {kind: equal_opportunity, by: gender_in_text, label: "yes", min_rows: 5}, at_most: 0.9}
    - {metric: {kind: counterfactual_flips, identity: gender}, at_most: 0.9}
data:
  sources: [rows.jsonl]
  split: {train: 0.5, validation: 0.1, test: 0.4}
base: {model: ./base}
train: {duration: 3 epochs, batch: 16 rows, optimizer: {kind: adamw, lr: 3e-3}}
evaluate:
  arms: [majority, tuned]
  resamples: 100
  fairness: {groups: [age], terms: [gender], favourable: "yes", counterfactuals: 30, min_rows: 10}
"""
MITIGATED = (
    "data.steps=[clean, {kind: reweigh, by: gender_in_text}]",
    "train.objective={kind: classify, fair_by: gender_in_text}",
)


def write_rows(path: Path) -> None:
    draw = random.Random(0)
    rows = []
    for number in range(280):
        he, good = draw.random() < 0.5, draw.random() < 0.5
        text = f"{number}: {'he' if he else 'she'} has a {'strong' if good else 'weak'} file"
        label = "yes" if good and (he or draw.random() < 0.4) else "no"
        rows.append({"text": text, "label": label, "age": draw.choice(["old", "young"])})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    write_rows(folder / "rows.jsonl")
    tiny_model(folder / "base")
    (folder / "files.yaml").write_text(SPEC)
    (folder / "crows.jsonl").write_text(
        "".join(
            json.dumps({"sent_more": f"She cried {n}.", "sent_less": f"He cried {n}.", "bias_type": "gender"}) + "\n"
            for n in range(6)
        )
    )
    return folder


def found_by(folder: Path, *changes: str) -> tuple[dict[str, Any], dict[str, Any], Path]:
    done = tunesmith("run", "files.yaml", "--json", *changes, cwd=folder)
    assert done.returncode in (0, 3), done.stderr
    said = json.loads(done.stdout)
    run = folder / "runs" / said["run"]
    return json.loads((run / "evaluation/fairness.json").read_text()), said["verdict"], run


def test_a_run_leaves_what_was_found_about_groups(desk: Path) -> None:
    found, verdict, run = found_by(desk, *MITIGATED)
    assert {each["by"] for each in found["figures"]} == {"age", "gender_in_text", "age x gender_in_text"}
    assert {each["label"] for each in found["figures"]} == {None, "yes"}
    assert set(found["figures"][0]["arms"]) == {"majority", "tuned"}
    assert found["swapped"][0]["pairs"] == 30 and found["swapped"][0]["identity"] == "gender"
    weighted = {each["group"]: each["weighted"]["yes"] for each in found["represented"] if each["by"] != "age"}
    assert weighted["female"] == pytest.approx(weighted["male"])
    assert [target["value"] is not None for target in verdict["targets"]] == [True, True]
    page, card = (run / "report.html").read_text(), (run / "card.md").read_text()
    assert "Groups of people" in page and "terms of gender swapped" in page and "Who stands in the rows" in page
    assert "gains and loses elsewhere" in page and "Privacy and misuse were not measured" in card
    assert (run / "evaluation/fairness/predictions-counterfactual.parquet").exists()
    steps = json.loads((run / "spec.json").read_text())["spec"]["data"]["steps"]
    assert steps[-1] == {"kind": "identity_terms", "kinds": ["gender"], "groups": None}


def test_a_model_that_writes_is_asked_suites_and_followed_from_group_to_group(desk: Path) -> None:
    changes = (
        "data.sources=[{path: rows.jsonl, map: {prompt: text, answer: label}}]",
        "goal.task=answer",
        "train.objective=sft",
        "train.duration=1 steps",
        "evaluate.arms=[base, tuned]",
        "evaluate.fairness={terms: [gender], counterfactuals: 6, answers: [toxicity], suites: [crows.jsonl]}",
        "goal.targets=[{metric: {kind: stereotype_preference, suite: crows_pairs, bias: gender}, at_most: 0.99}]",
    )
    found, verdict, run = found_by(desk, *changes)
    assert [(each["suite"], each["arm"], each["items"]) for each in found["suites"]] == [
        ("crows_pairs", "base", 6),
        ("crows_pairs", "tuned", 6),
    ]
    assert verdict["targets"][0]["num_rows"] == 6
    assert [each["label"] for each in found["swapped"][0]["directions"]] == ["words", "refused", "toxicity"]
    assert "crows_pairs, asked of tuned" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("evaluate.fairness.terms=[gendre]", "did you mean 'gender'"),
        ("evaluate.fairness.groups=[agee]", "did you mean 'age'"),
        ("evaluate.fairness.suites=[none.jsonl]", "no such file"),
        ("evaluate.fairness.swaps=none.yaml", "cannot be read"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_before_the_training(desk: Path, change: str, said: str) -> None:
    done = tunesmith("check", "files.yaml", "goal.targets=[]", change, cwd=desk)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr, done.stderr
