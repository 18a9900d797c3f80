"""What must not be seen is nowhere in a run's files; rows go when their time is over; the vault's verbs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pyarrow.parquet
import pytest
from typer.testing import CliRunner, Result

from tests.e2e.desk import make_desk
from tunesmith.cli.app import app
from tunesmith.data.passes.curate import apply
from tunesmith.data.room import Room
from tunesmith.data.steps.pii import Pii
from tunesmith.flow.data.retention import expired, prune
from tunesmith.records import Record
from tunesmith.runs import Run, read_json
from tunesmith.spec.quantity import Keep

DAY = 86_400


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def everything(folder: Path) -> str:
    """What all files below a folder say, Parquet unpacked."""
    said = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if file.suffix == ".parquet":
            said.append(json.dumps(pyarrow.parquet.read_table(file).to_pylist(), ensure_ascii=False))
        else:
            said.append(file.read_bytes().decode("utf-8", "replace"))
    return "\n".join(said)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    desk = tmp_path_factory.mktemp("desk")
    spec = make_desk(desk, duration="2 steps")
    rows = [json.loads(line) for line in (desk / "rows.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row |= {"passport": f"XK{number:07d}", "customer": f"Unmappedname{number}"}
    rows[3]["text"] += " for anna.muster@example.ch"
    rows[4] = {**rows[4], "text": "card 4929 1234 5678 9017, colour red"}
    (desk / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = (
        "  steps: [{kind: pii, kinds: [email]}, {kind: pii, kinds: [card], action: drop}, clean, exact_dedup]\n"
        "  keep: 30 days\n"
    )
    spec.write_text(spec.read_text().replace("  split: {train", steps + "  split: {train"))
    said = invoke("run", spec, "-w", desk, "-q")
    assert said.exit_code in (0, 3), said.output
    return Run(desk / "runs" / "colours" / "1")


def test_columns_that_nothing_needs_and_what_was_masked_never_enter_a_run(run: Run) -> None:
    said = everything(run.path)
    assert "XK0000007" not in said and "Unmappedname" not in said and '"passport"' not in said
    assert "anna.muster" not in said and "4929 1234" not in said
    assert "for [EMAIL]" in said and "card [CARD], colour red" in said and "email masked" in said


def test_rows_go_when_their_time_is_over_and_figures_stay(run: Run) -> None:
    workspace = run.path.parents[2]
    written = (run / "data" / "ledger.json").stat().st_mtime
    lineage = (run / "lineage.json").read_bytes()
    assert expired(workspace, written + 29.9 * DAY) == []
    with run.locked():
        assert expired(workspace, written + 31 * DAY) == []
    assert "would be deleted" not in invoke("prune", "-w", workspace).output
    for file in (run / "data").iterdir():
        os.utime(file, (time.time(), time.time() - 31 * DAY))
    said = invoke("prune", "-w", workspace)
    assert said.exit_code == 0 and "1 runs would be deleted; --yes does it" in said.output
    assert (run / "data" / "train.parquet").exists()
    said = invoke("prune", "--yes", "--json", "-w", workspace)
    gone = json.loads(said.output)
    assert gone["deleted"] and gone["runs"][0]["run"] == "colours/1" and gone["runs"][0]["keep"] == "30 days"
    assert not (run / "data").exists() and not list((run / "evaluation").glob("*.parquet"))
    assert "colour red" not in everything(run.path) and "item 1" not in everything(run.path)
    assert (run / "lineage.json").read_bytes() == lineage and (run / "model").is_dir()
    assert json.loads((run / "pruned.json").read_text())["keep"] == "30 days"
    assert prune(workspace, time.time() + 99 * DAY) == []
    assert run.complete and "accuracy" in invoke("show", "colours/1", "-w", workspace).output


def test_rows_of_folds_go_too(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "folded" / "1"
    for name in ("data/train.parquet", "evaluation/predictions-tuned.parquet", "folds/2/predictions-tuned.parquet"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(b"rows")
    (run / "spec.json").write_text(json.dumps({"spec": {"data": {"keep": "30 days"}}}))
    Run(run).finish()
    (gone,) = prune(tmp_path, time.time() + 31 * DAY)
    assert gone.files == 3 and not list(run.rglob("*.parquet"))
    assert set(read_json(run / "manifest.json")["files"]) == {"pruned.json", "spec.json"}


def test_keep_is_read_in_days() -> None:
    assert [Keep.parse(said).value for said in ("30 days", "2 weeks", "1 year", "0 days")] == [30, 14, 365, 0]
    with pytest.raises(ValueError, match="30 days or 2 years"):
        Keep.parse("30 steps")


def test_the_verbs_of_the_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNESMITH_KEY", raising=False)
    assert "there is no key" in invoke("vault", "init", "-w", tmp_path).stderr
    keys = [tmp_path / "key", tmp_path / "new"]
    for file in keys:
        file.write_text(invoke("vault", "key").output)
        file.chmod(0o600)
    monkeypatch.setenv("TUNESMITH_KEY_FILE", str(keys[0]))
    assert invoke("vault", "init", "-w", tmp_path).output.strip() == str(tmp_path / "tunesmith.vault")
    rows = [Record("r1", "rows.jsonl:1", text="Call Anna Muster or Bob Meier at a@b.ch.")]
    text = apply(Pii(action="pseudonym"), rows, Room(vault=tmp_path / "tunesmith.vault")).kept[0].text or ""
    names = json.loads(invoke("vault", "list", "person/", "--json", "-w", tmp_path).output)
    assert len(names) == 2 and all(name.removeprefix("person/") in text for name in names)
    shown = {json.loads(invoke("vault", "show", name, "-w", tmp_path).output)[0] for name in names}
    assert shown == {"Anna Muster", "Bob Meier"}
    assert invoke("vault", "forget", "--of", "Anna Muster", "-w", tmp_path).output == "1 forgotten\n"
    assert len(invoke("vault", "list", "person/", "-w", tmp_path).output.splitlines()) == 1
    assert "holds no 'person/Nobody'" in invoke("vault", "forget", "person/Nobody", "-w", tmp_path).stderr
    assert "3 entries are locked with the new key" in invoke("vault", "rotate", keys[1], "-w", tmp_path).output
    assert "locked with another key" in invoke("vault", "list", "-w", tmp_path).stderr
    monkeypatch.setenv("TUNESMITH_KEY_FILE", str(keys[1]))
    again = apply(Pii(action="pseudonym"), rows, Room(vault=tmp_path / "tunesmith.vault")).kept[0].text or ""
    assert again.startswith("Call [PERSON] or ") and "Anna" not in again
