"""Runs whose models answer as it was planted: each is decided rightly, says why, and the verb ends as it should.

The stages are those of any run, but for the model's mouth: what it and its base say is written here.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.e2e.desk import COLOURS, make_desk
from tunesmith.cli.app import app
from tunesmith.evaluate.predict.stored import read_predictions
from tunesmith.evaluate.suites.ask import Answer
from tunesmith.evaluate.suites.forgetting import Asked
from tunesmith.evaluate.verdict import Verdict
from tunesmith.flow.evaluation import abilities
from tunesmith.flow.evaluation.bench import Bench
from tunesmith.flow.run import run
from tunesmith.records import Prediction, Record
from tunesmith.runs import Run, read_json

CHANNELS = ("email", "chat", "phone")
TESTED = 300

Planted = Callable[[Record], bool]
"""Whether a row is answered rightly."""


def often(share: float, seed: int) -> Planted:
    """Right on that share of the rows, the same ones each time."""

    def answers(record: Record) -> bool:
        return random.Random(f"{seed} {record.text}").random() < share

    return answers


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec whose test rows are a file of their own, so that it is known what is in it."""
    folder = tmp_path_factory.mktemp("planted")
    spec = make_desk(folder, duration="1 steps")
    _write(folder / "held.jsonl", [_row(f"thing {at} looks {_colour(at)}", at) for at in range(TESTED)])
    text = spec.read_text("utf-8").replace("[rows.jsonl]", "[rows.jsonl, {path: held.jsonl, split: test}]")
    text = text.replace("{train: 0.5, validation: 0.2, test: 0.3}", "{train: 0.8, validation: 0.2, test: 0}")
    spec.write_text(text.replace("slices: [channel]", "slices: [channel], resamples: 200"), "utf-8")
    return spec


def _colour(at: int) -> str:
    return list(COLOURS)[at % len(COLOURS)]


def _row(text: str, at: int) -> dict[str, str]:
    return {"text": text, "label": COLOURS[_colour(at)], "channel": CHANNELS[at % 3]}


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def decided(
    desk: Path, patch: pytest.MonkeyPatch, planted: dict[str, Planted], *changes: str
) -> tuple[Run, Verdict, int, str]:
    """The run, its verdict, and how `tunesmith verdict` ends and what it prints."""

    def ask(bench: Bench, model: str, rows: list[Record], asking: object = None) -> list[Prediction]:
        made = []
        for record in rows:
            (right,) = record.labels
            made.append(Prediction(record, right if planted[model](record) else "neither", right))
        return made

    patch.setattr(Bench, "ask", ask)
    done = run(desk, changes, desk.parent, until="evaluate").run
    said = CliRunner().invoke(app, ["verdict", str(done), "--workspace", str(desk.parent)])
    return done, Verdict.from_json(read_json(done / "evaluation" / "verdict.json")), said.exit_code, said.stdout


def kinds(verdict: Verdict) -> list[str]:
    return [warning.kind for warning in verdict.warnings]


def test_a_sound_gain_ships(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = {"base": often(0.5, 1), "tuned": often(0.95, 2)}
    _, verdict, code, printed = decided(desk, monkeypatch, planted, "evaluate.arms=[base, majority, tuned]")
    assert (verdict.decision, kinds(verdict), code) == ("SHIP", [], 0), verdict
    assert printed.startswith("SHIP")


def test_a_model_that_got_worse_on_the_slice_that_a_target_names_is_not_shipped(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On all rows it is far better than its base; on those of the phone it is far worse."""
    good, bad = often(0.98, 2), often(0.3, 3)
    planted = {
        "base": often(0.6, 1),
        "tuned": lambda record: bad(record) if record.slices["channel"] == "phone" else good(record),
    }
    targets = (
        "[{metric: accuracy, at_least: 0.65}, {metric: accuracy, over: base, at_least: 0}"
        ", {metric: accuracy, at_least: 0.6, slice: {channel: phone}}]"
    )
    _, verdict, code, printed = decided(
        desk, monkeypatch, planted, "evaluate.arms=[base, tuned]", f"goal.targets={targets}"
    )
    assert (verdict.decision, verdict.deciding, code) == ("DON'T SHIP", 2, 3)
    assert [target.outcome for target in verdict.targets] == ["met", "met", "missed"]
    assert verdict.reason.startswith("accuracy on channel=phone at least 0.6 is missed: 0.")
    assert kinds(verdict) == ["slice"] and "On channel 'phone' (100 rows)" in verdict.warnings[0].text
    assert "tuning made it worse by accuracy" in " ".join(printed.split())


def test_a_gain_that_is_noise_is_not_shipped_as_one(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers a row or two more rightly than its base; what it is to reach, the base reaches too."""
    base, lucky = often(0.9, 1), {"thing 5 looks teal", "thing 7 looks orange"}
    planted = {"base": base, "tuned": lambda record: base(record) or record.text in lucky}
    arms = "evaluate.arms=[base, tuned]"
    _, verdict, code, _ = decided(desk, monkeypatch, planted, arms)
    assert (verdict.decision, kinds(verdict), code) == ("SHIP", ["noise"], 0)
    assert "do not show that tuning helped: by accuracy, tuned 0." in verdict.warnings[0].text
    _, verdict, code, _ = decided(
        desk, monkeypatch, planted, arms, "goal.targets=[{metric: accuracy, over: base, at_least: 0.005}]"
    )
    assert (verdict.decision, verdict.targets[0].outcome, code) == ("DON'T SHIP", "undecided", 3)
    assert kinds(verdict) == ["noise"] and "over base" in verdict.reason


def test_a_linear_model_that_beats_it_forbids_to_ship(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every target is met. The word count is the real one, and the words tell the label."""
    planted = {"base": often(0.5, 1), "tuned": often(0.9, 2)}
    done, verdict, code, printed = decided(desk, monkeypatch, planted, "evaluate.arms=[base, linear, tuned]")
    assert (verdict.decision, verdict.targets[0].outcome, verdict.deciding, code) == ("DON'T SHIP", "met", None, 3)
    assert verdict.reason.startswith("A linear model beats the tuned one by accuracy: tuned 0.8")
    assert ", linear 1, a difference of \N{MINUS SIGN}0.1" in verdict.reason
    assert "A linear model beats the tuned one" in " ".join(printed.split())
    assert read_json(done / "stages" / "evaluate.json")["result"]["decision"] == "DON'T SHIP"


def test_a_model_that_forgot_is_not_shipped_where_a_target_says_what_to_keep(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does its task far better than its base, and guesses where the base knew its grammar."""

    def asking(open_: object, request: object, job: object, arm: str, after: object) -> Asked:
        sure = 3.0 if arm == "base" else 0.0
        return lambda suite: [
            Answer(tuple(sure * (place == item.right) for place in range(len(item.choices)))) for item in suite.items
        ]

    monkeypatch.setattr(abilities, "_asking", asking)
    _, verdict, code, printed = decided(
        desk,
        monkeypatch,
        {"base": often(0.5, 1), "tuned": often(0.95, 2)},
        "evaluate.arms=[base, tuned]",
        "train.objective=sft",
        "evaluate.retention={sources: [grammar]}",
        "goal.targets=[{metric: accuracy, at_least: 0.6}, {metric: retention, at_least: 0.9}]",
    )
    assert [target.outcome for target in verdict.targets] == ["met", "missed"]
    assert (verdict.decision, verdict.deciding, code) == ("DON'T SHIP", 1, 3)
    assert verdict.reason.startswith("retention at least 0.9 is missed: 0 on ")
    assert kinds(verdict) == ["forgetting"] and "retention" in verdict.warnings[0].text
    assert verdict.warnings[0].text in " ".join(printed.split())


def test_test_rows_that_were_trained_on_are_named_and_do_not_decide(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the test rows are rows of the training file, shouted: it knows those by heart, and little else."""
    old = [
        json.loads(line) for line in (desk.parent / "rows.jsonl").read_text("utf-8").splitlines() if '""' not in line
    ]
    learned = [{**row, "text": row["text"].upper() + "!"} for row in old[:150]]
    own = [_row(f"thing {at} seems {_colour(at)}", at) for at in range(150)]
    _write(desk.parent / "leaky.jsonl", [*learned, *own])
    little = often(0.4, 2)
    planted = {"base": often(0.3, 1), "tuned": lambda record: "!" in (record.text or "") or little(record)}
    done, verdict, code, printed = decided(
        desk,
        monkeypatch,
        planted,
        "evaluate.arms=[base, tuned]",
        "data.sources=[rows.jsonl, {path: leaky.jsonl, split: test}]",
        "data.split.leakage=ignore",
        "goal.targets=[{metric: accuracy, at_least: 0.6}]",
    )
    said = read_json(done / "evaluation" / "contamination.json")
    assert len(said["leaks"]) > 80 and all("leaky.jsonl" in leak["source"] for leak in said["leaks"])
    assert (verdict.decision, verdict.targets[0].outcome, code) == ("DON'T SHIP", "missed", 3)
    assert verdict.targets[0].num_rows == said["num_rows"] - len({leak["id"] for leak in said["leaks"]})
    assert kinds(verdict)[0] == "contamination" and "left out of every figure" in " ".join(printed.split())
    compared = read_json(done / "evaluation" / "comparison.json")
    assert compared["num_rows"] == verdict.targets[0].num_rows


def test_rows_that_a_fold_had_learned_are_left_out(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some rows stand in the data twice, once shouted: where the two fall into different folds, neither is tested."""
    rows = [_row(f"thing {at} seems {_colour(at)}", at) for at in range(120)]
    shouted = [{**row, "text": row["text"].upper() + "!"} for row in rows[:40]]
    _write(desk.parent / "twice.jsonl", [*rows, *shouted])
    planted = {"base": often(0.3, 1), "tuned": often(0.9, 2)}
    done, verdict, _, _ = decided(
        desk,
        monkeypatch,
        planted,
        "name=folded",
        "evaluate.arms=[base, tuned]",
        "evaluate.folds=2",
        "data.sources=[twice.jsonl]",
        "data.split={leakage: ignore}",
    )
    met = read_json(done / "evaluation" / "contamination.json")
    number = {record.id: record.text for fold in (1, 2) for record in _tested(done, fold)}
    twice = {text for text in number.values() if text and text.upper() + "!" in number.values()}
    assert met["num_rows"] == 160 == len(number) and len(twice) == 40
    assert 20 <= len(met["leaks"]) <= 80 and kinds(verdict)[0] == "contamination"
    assert {number[leak["id"]].strip("!").lower() for leak in met["leaks"]} <= twice
    assert read_json(done / "evaluation" / "comparison.json")["num_rows"] == 160 - len(met["leaks"])
    assert verdict.targets[0].num_rows == 160 - len(met["leaks"])


def _tested(done: Run, fold: int) -> list[Record]:
    return [row.record for row in read_predictions(done / "folds" / str(fold) / "predictions-tuned.parquet")]
