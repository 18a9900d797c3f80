"""Every adapter through the command line: from the spec to a model that opens with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.e2e.desk import make_desk
from tunesmith.cli.app import app
from tunesmith.models.layers.native import use
from tunesmith.models.layers.native.library import library


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_desk(tmp_path, duration="2 steps")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "settings",
    [
        ("kind=lora", "dora=true", "scaling=rslora", "train_also=[embeddings]"),
        ("kind=qlora",),
        ("kind=ia3",),
        ("kind=prefix", "length=4"),
        ("kind=prompt", "length=4"),
        ("kind=bottleneck", "size=8"),
    ],
    ids=lambda settings: settings[0],
)
def test_from_spec_to_a_model_that_is_evaluated(desk: Path, settings: tuple[str, ...]) -> None:
    changes = [f"train.adapter.{setting}" for setting in settings]
    said = run("run", "colours.yaml", *changes, "--quiet")
    assert said.exit_code in (0, 3), said.output
    card = json.loads((desk / "runs/colours/1/model/tunesmith.json").read_text())
    assert card["adapter"]["kind"] == settings[0].removeprefix("kind=")
    assert (desk / "runs/colours/1/evaluation/verdict.json").exists()
    # A second run goes on from the first one's model, adapter included.
    more = run("train", "colours.yaml", "base.model=run:colours/1", *changes, "-q")
    assert more.exit_code == 0, more.output


def test_a_run_without_kernels_says_why_once(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "kernels in C" not in run("train", "colours.yaml").output or library()[0] is None
    monkeypatch.setattr(use, "library", lambda: (None, "there is no C compiler"))
    assert (
        run("train", "colours.yaml", "name=without").output.count("kernels in C are not used: there is no C compiler")
        == 1
    )


def test_rows_leave_virtual_tokens_their_place(desk: Path) -> None:
    rows = [{"text": "cold " * 80 + str(number), "label": ["warm", "cold"][number % 2]} for number in range(40)]
    (desk / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    asked = ("train", "colours.yaml", "train.adapter.kind=prompt", "evaluate.slices=[]", "-q")
    assert run(*asked, "train.adapter.length=40").exit_code == 0
    spec = json.loads((desk / "runs/colours/1/spec.json").read_text())["spec"]
    assert spec["data"]["max_length"] == "88 tokens"
    said = run(*asked, "train.adapter.length=40", "data.max_length=89 tokens")
    assert said.exit_code == 2 and "89 tokens are more than the base can read beside 40 virtual ones, 88" in said.output


def test_a_run_is_merged_by_its_name(desk: Path) -> None:
    assert run("train", "colours.yaml", "train.adapter.kind=lora", "-q").exit_code == 0
    said = run("merge", "run:colours/1", "--into", "merged", "--json")
    assert said.exit_code == 0, said.output
    assert json.loads((desk / "merged/lineage.json").read_text())["adapters"][0]["reference"] == "run:colours/1"
    assert run("train", "colours.yaml", "base.model=./merged", "-q").exit_code == 0


def test_frozen_layers_are_computed_once_and_the_run_says_so(desk: Path) -> None:
    asked = ("train", "colours.yaml", "train.duration=2 epochs", "-q")
    assert run(*asked, "train.freeze.layers=1").exit_code == 0
    assert run(*asked, "train.adapter={kind: lora, top_layers: 1}").exit_code == 0
    assert run(*asked, "train.freeze={layers: 1, cache: disk}").exit_code == 0
    assert run(*asked, "train.freeze={layers: 1}", "train.regularize.neftune=5").exit_code == 0
    assert run(*asked, "train.freeze={layers: 1, cache: off}").exit_code == 0
    notes = [
        [
            event["text"]
            for event in map(json.loads, (path / "events.jsonl").read_text().splitlines())
            if "text" in event
        ]
        for path in sorted((desk / "runs/colours").iterdir())
    ]
    once = "1 frozen layer is computed once for each row; what it says is kept "
    kept = [[text for text in texts if text.startswith(once)] for texts in notes]
    assert [[text[len(once) :].partition(":")[0] for text in texts] for texts in kept] == [
        ["in memory"], ["in memory"], ["in a file"], [], [],
    ]  # fmt: skip
    assert "1 frozen layer is computed in every epoch: neftune draws new noise in every epoch" in notes[3]
    refused = run(*asked, "train.freeze.cache=memory")
    assert refused.exit_code == 2 and "something trains in the lowest layer or below it" in refused.output
