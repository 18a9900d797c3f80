"""Attacks on privacy through the command line: an overfit model is found out, a model that learned nothing is not."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.e2e.desk import make_desk
from tests.e2e.test_privacy import everything
from tests.unit.review_fixture import made, say
from tunesmith.cli.app import app
from tunesmith.data.disk.tables import load_records, write_records
from tunesmith.data.methods.canaries import is_canary
from tunesmith.data.passes.curate import apply
from tunesmith.data.room import Room
from tunesmith.data.steps.pii import Pii
from tunesmith.errors import UserError
from tunesmith.evaluate.privacy import Privacy
from tunesmith.evaluate.review.stored import filled
from tunesmith.flow.data.erase import erase
from tunesmith.records import Record
from tunesmith.runs import Run, file_digest
from tunesmith.testing.tiny import tiny_model
from tunesmith.vault.keys import master_key, new_key
from tunesmith.vault.store import Vault

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


LABELS = [
    "data.sources=[{path: rows.jsonl, map: {text: prompt, label: label}}]",
    "goal.task=classify",
    "train.objective=classify",
    "evaluate.metrics=[accuracy]",
]


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


def test_a_private_training_brings_exposure_under_the_bound(
    desk: Path, leaking: tuple[Run, Privacy, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opacus")
    monkeypatch.setattr("tunesmith.train.weights.private.secrets.randbits", lambda bits: 7)
    private = "train.regularize.private={epsilon: 0.5, clip: 0.5}"
    made, found, outcomes = run(desk, private, "train.duration=2 epochs", "train.optimizer.lr=1e-3")
    assert set(found.findings.values()) == {"nothing found"} and "missed" not in outcomes.values()
    assert (
        found.exposure and leaking[1].exposure and found.exposure.mean < found.exposure.bound < leaking[1].exposure.mean
    )
    promise = json.loads((made / "lineage.json").read_text())["stages"]["train-1"]["private"]
    assert (
        0.49 < promise["epsilon"] <= 0.5
        and promise["clip"] == 0.5
        and promise["delta"] == pytest.approx(0.1 / 89, rel=0.1)
    )
    assert promise["steps"] == 2 * math.ceil(1 / promise["rate"]) and not (made / "checkpoints" / "1").exists()
    for name in ("report.html", "card.md"):
        assert (
            "differential privacy: epsilon 0.4" in (made / name).read_text()
            or "epsilon 0.5" in (made / name).read_text()
        )
    origins = json.loads((made / "spec.json").read_text())["origins"]
    assert "derived: a tenth of 1" in origins["train.0.regularize.private.delta"]
    # It costs quality: the answers are less likely than without.
    perplexities = [json.loads((each / "evaluation" / "comparison.json").read_text()) for each in (made, leaking[0])]
    values = [each["measures"][0]["arms"]["tuned"]["value"] for each in perplexities]
    assert values[0] > values[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["train.batch=2k tokens"], "write how many on average"),
        (["train.duration=5 min"], "write epochs or steps"),
        (["train.freeze={layers: 1, unfreeze: 1 epoch}"], "leave unfreeze out"),
        (["train.objective={kind: distill, teacher: ./base}"], "what the teacher knows"),
        ([*LABELS, "train.objective={kind: classify, fair_by: label}"], "those are taken one by one"),
        (["data.curriculum=length"], "which leaves no order"),
        (["data.mixture={temperature: 2}", "data.sources=[rows.jsonl, more.jsonl]"], "which leaves no order"),
        (["prompt.examples=2"], "a training row shown before others"),
        (["scale.devices=2"], "done by one process"),
        (["data.steps=[clean, oversample]"], "oversample lets a row show in others"),
        (["train.replay={source: more.jsonl, share: 10%}"], "older rows are drawn otherwise"),
        (["train=[{regularize: {private: {epsilon: 3}}}, {}]"], "a private training is one stage"),
    ],
)
def test_what_would_break_the_promise_is_refused(desk: Path, changes: list[str], said: str) -> None:
    (desk / "more.jsonl").write_text('{"prompt": "what", "answer": "nothing at all"}\n' * 3)
    private = [] if changes[0].startswith("train=[") else ["train.regularize.private={epsilon: 3}"]
    refused = invoke("check", desk / "leak.yaml", *private, *changes, "-w", desk)
    assert refused.exit_code == 2 and said in refused.stderr, refused.stderr


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


def test_a_person_is_erased_everywhere_and_models_are_named(tmp_path: Path) -> None:
    spec = make_desk(tmp_path, duration="1 steps")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    for number in range(0, 200, 2):
        rows[number]["text"] += f" for Zoë Erased, says {number}"
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert invoke("run", spec, "-w", tmp_path, "-q").exit_code in (0, 3)
    (tmp_path / "runs" / "after" / "1").mkdir(parents=True)
    (tmp_path / "runs" / "after" / "1" / "spec.json").write_text('{"spec": {"base": {"model": "run:colours/1"}}}')
    made = Run(tmp_path / "runs" / "colours" / "1")
    before = [len(load_records(made / "data" / f"{split}.parquet")) for split in ("train", "test")]
    looked = invoke("erase", "zoë erased", "-w", tmp_path)
    assert "would be erased" in looked.stdout and "Zo" in everything(made.path)
    assert "too short to mean somebody" in invoke("erase", "Zo", "-w", tmp_path).stderr
    said = invoke("erase", "zoë erased", "--yes", "--json", "-w", tmp_path)
    told = json.loads(said.stdout)
    assert told["models"] == ["colours/1", "after/1"]
    assert told["rows"]["colours/1"] >= 20 and "after/1" not in told["rows"] and told["left"] == []
    assert set(told["sources"]) == {f"rows.jsonl:{number + 1}" for number in range(0, 200, 2)}
    for word in ("Zoë", "Zo\\u00eb", "Erased"):
        assert word not in everything(tmp_path / "runs") and not (tmp_path / ".tunesmith").exists()
    after = [len(load_records(made / "data" / f"{split}.parquet")) for split in ("train", "test")]
    assert 0 < after[0] < before[0] and 0 < after[1] < before[1] and made.complete
    manifest = json.loads((made / "manifest.json").read_text())["files"]
    assert all(file_digest(made / name) == entry["sha256"] for name, entry in manifest.items())
    assert json.loads(invoke("erase", "zoë erased", "--yes", "--json", "-w", tmp_path).stdout)["rows"] == {}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_people_rate_is_erased_too(tmp_path: Path, elsewhere: bool) -> None:
    url = f"sqlite:///{tmp_path}/other.db" if elsewhere else None
    store, review = made(url or tmp_path, outputs={"base": "what base says", "tuned": "it is Zoë Erased"})
    say(store, review, "anna", 1, helpful_a="4")
    assert erase(tmp_path, ["zoë erased"], store=url, really=False).reviews == 6 == len(filled(store, review).items)
    assert erase(tmp_path, ["zoë erased"], store=url, really=True).reviews == 6
    left = filled(store, review)
    assert not left.items and not left.answers


def test_notes_that_name_a_person_are_emptied_and_the_ratings_stay(tmp_path: Path) -> None:
    store, review = made(tmp_path)
    say(store, review, "anna", 1, note="sounds like Zoë Erased", helpful_a="4")
    say(store, review, "ben", 1, note="fine", helpful_a="2")
    looked = erase(tmp_path, ["zoë erased"], really=False)
    assert (looked.reviews, looked.notes) == (0, 1)
    assert erase(tmp_path, ["zoë erased"], really=True).notes == 1
    left = sorted((answer.note, answer.marks["helpful-a"]) for answer in filled(store, review).answers)
    assert left == [("", "4"), ("fine", "2")] and erase(tmp_path, ["zoë erased"], really=False).notes == 0


def test_who_stands_behind_a_stand_in_is_erased_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_KEY", key := new_key())
    vault = Vault.create(tmp_path / "tunesmith.vault", master_key())
    rows = [
        Record("r1", "rows.jsonl:1", text="Call Anna Muster."),
        Record("r2", "rows.jsonl:2", text="Call Bob Meier."),
    ]
    hidden = apply(Pii(action="pseudonym"), rows, Room(vault=vault.path)).kept
    folder = tmp_path / "runs" / "calls" / "1" / "data"
    folder.mkdir(parents=True)
    write_records(folder / "train.parquet", hidden)
    looked = erase(tmp_path, ["Anna Muster"], really=False)
    assert (looked.vault, looked.rows, looked.models) == (1, {"calls/1": 1}, ["calls/1"])
    monkeypatch.delenv("TUNESMITH_KEY")
    with pytest.raises(UserError, match="there is no key"):
        erase(tmp_path, ["Anna Muster"], really=True)
    assert len(load_records(folder / "train.parquet")) == 2
    monkeypatch.setenv("TUNESMITH_KEY", key)
    erase(tmp_path, ["Anna Muster"], really=True)
    assert [record.id for record in load_records(folder / "train.parquet")] == ["r2"]
    assert erase(tmp_path, ["Anna Muster"], really=False).vault == 0 != len(Vault(vault.path, master_key()))
