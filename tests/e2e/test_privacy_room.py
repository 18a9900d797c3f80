"""Attacks on privacy through the command line: an overfit model is found out, a model that learned nothing is not."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tunesmith.cli.app import app
from tunesmith.data.disk.tables import load_records
from tunesmith.data.methods.canaries import is_canary
from tunesmith.evaluate.privacy import Privacy
from tunesmith.runs import Run
from tunesmith.testing.tiny import tiny_model

WORDS = [begin + end for begin in ("am", "bir", "ced", "del", "fjor", "gro") for end in ("ber", "ch", "ar", "ta", "ve")]
SPEC = """\
name: leak
goal:
  task: generate
  targets:
    - {metric: membership_auc, at_most: 0.65}
    - {metric: {kind: membership_tpr, fpr: 0.2}, at_most: 60%}
    - {metric: exposure, at_most: 3.5}
    - {metric: extraction_rate, at_most: 10%}
    - {metric: {kind: extraction_rate, of: personal}, at_most: 10%}
data:
  sources: [rows.jsonl]
  split: {train: 0.5, validation: 0.0, test: 0.5}
  steps: [clean, exact_dedup, {kind: canaries, count: 6, copies: 4}]
base: {model: ./base}
train:
  {adapter: full, duration: 24 epochs, batch: 12 rows, optimizer: {kind: adamw, lr: 6e-3}, watch: [], precision: fp32}
evaluate:
  arms: [tuned]
  metrics: [perplexity]
  privacy: {alternatives: 100, shown: 2, recited: 6, min_k: 30%, rows: 60}
"""
NOTHING = ["train.duration=1 steps", "train.optimizer.lr=1e-30"]
"""One step so small that no weight moves."""


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("desk"), random.Random(4)
    tiny_model(folder / "base")
    rows = []
    for number in range(130):
        said = " ".join(draw.choice(WORDS) for _ in range(4))
        who = f"{draw.choice(WORDS)}{draw.randrange(90)}@{draw.choice(WORDS)}.org" if number % 6 == 0 else ""
        asked = f"{draw.choice(WORDS)} {draw.choice(WORDS)} {draw.choice(WORDS)}"
        rows.append({"prompt": asked, "answer": f"{who} {said}".strip(), "label": draw.choice(["in", "out"])})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "leak.yaml").write_text(SPEC)
    return folder


def run(desk: Path, *changes: str) -> tuple[Run, Privacy, dict[str, str]]:
    said = invoke("run", desk / "leak.yaml", *changes, "-w", desk, "--json")
    assert said.exit_code in (0, 3), said.output
    told: dict[str, Any] = json.loads(said.stdout)
    made = Run(desk / "runs" / told["run"])
    outcomes = {target["metric"]: target["outcome"] for target in told["verdict"]["targets"]}
    return made, Privacy.from_json(json.loads((made / "evaluation" / "privacy.json").read_text())), outcomes


@pytest.fixture(scope="module")
def leaking(desk: Path) -> tuple[Run, Privacy, dict[str, str]]:
    return run(desk)


def test_a_model_that_learned_by_heart_is_found_out(leaking: tuple[Run, Privacy, dict[str, str]]) -> None:
    made, found, outcomes = leaking
    assert found.findings == {"membership": "found", "exposure": "found", "extraction": "found"}
    assert set(outcomes.values()) == {"missed"} and len(outcomes) == 5
    assert found.membership and found.exposure and found.extraction and found.tests == 5
    assert [attack.name for attack in found.membership.attacks] == ["loss", "calibrated", "min_k"]
    assert found.membership.attacks[0].auc > 0.95 and found.membership.members <= 60
    assert found.extraction.trained.said / found.extraction.trained.rows > 0.8 > 0.1 > found.extraction.chance
    assert (found.extraction.shown, found.extraction.recited) == (2, 6) and found.extraction.personal["email"].said > 2
    trained = {record.source for record in load_records(made / "data" / "train.parquet")}
    assert {*found.membership.likeliest, *found.extraction.sources} <= trained
    report, card = (made / "report.html").read_text(), (made / "card.md").read_text()
    assert 'id="privacy"' in report and "gives training rows away" in report and found.membership.likeliest[0] in report
    assert "## Privacy" in card and "gives training rows away" in card and "Bias and misuse were not" in card


def test_canaries_are_learned_and_stand_nowhere_else(leaking: tuple[Run, Privacy, dict[str, str]]) -> None:
    made, found, _ = leaking
    train = load_records(made / "data" / "train.parquet")
    planted = [record for record in train if is_canary(record)]
    assert len(planted) == 24 and len({record.answer for record in planted}) == 6
    assert found.exposure and (found.exposure.canaries, found.exposure.copies) == (6, 4)
    assert found.exposure.alternatives == 100 and found.exposure.mean > 6 > found.exposure.bound
    assert not any("access code" in record.content() for record in load_records(made / "data" / "test.parquet"))
    ledger = json.loads((made / "data" / "ledger.json").read_text())
    assert ledger["rows"]["made"] == 24 and ledger["made"][0]["step"] == "canaries"
    assert "not to be shipped" in " ".join(ledger["notes"])
    assert "access code" not in json.dumps(json.loads((made / "evaluation" / "comparison.json").read_text()))


def test_a_model_that_learned_nothing_is_not_accused(desk: Path) -> None:
    _, found, outcomes = run(desk, *NOTHING, "evaluate.privacy.rows=40")
    assert found.findings == {"membership": "nothing found", "exposure": "nothing found", "extraction": "nothing found"}
    assert outcomes["exposure"] == "met" and "missed" not in outcomes.values()
    assert found.membership and found.membership.members == 40


LABELS = [
    "data.sources=[{path: rows.jsonl, map: {text: prompt, label: label}}]",
    "goal.task=classify",
    "train.objective=classify",
    "evaluate.metrics=[accuracy]",
]


def test_a_head_is_attacked_by_the_loss_of_its_labels(desk: Path) -> None:
    _, found, outcomes = run(desk, *LABELS, *NOTHING, "goal.targets=[{metric: membership_auc, at_most: 0.9}]")
    assert found.findings == {"membership": "nothing found", "exposure": "nothing found"} and outcomes
    assert found.membership and [attack.name for attack in found.membership.attacks] == ["loss", "min_k"]
    assert any("gives labels" in note for note in found.notes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            [*LABELS, "goal.targets=[{metric: extraction_rate, at_most: 0.1}]"],
            "a head gives labels and recites nothing",
        ),
        (
            [*LABELS, "goal.targets=[{metric: {kind: membership_auc, attack: calibrated}, at_most: 0.6}]"],
            "write `attack: loss`",
        ),
        (["data.steps=[clean]", "goal.targets=[{metric: exposure, at_most: 4}]"], "add `canaries` to data.steps"),
        (
            [
                "data.split={train: 1.0, validation: 0.0, test: 0.0}",
                "goal.targets=[{metric: membership_auc, at_most: 1}]",
            ],
            "no row was held out",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(desk: Path, changes: list[str], said: str) -> None:
    refused = invoke("check", desk / "leak.yaml", *changes, "-w", desk)
    assert refused.exit_code == 2 and said in refused.stderr, refused.stderr
