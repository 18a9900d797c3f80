"""Every verb of the command line: its help, its JSON, its errors, and what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.e2e.desk import make_desk
from tunesmith.cli.app import app

VERBS = (
    "init",
    "check",
    "run",
    "train",
    "data",
    "evaluate",
    "merge",
    "plan",
    "search",
    "launch",
    "show",
    "ls",
    "report",
    "send",
    "schema",
    "verdict",
    "compare",
)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_desk(tmp_path, duration="2 steps")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def files(folder: Path) -> set[str]:
    """What lies there, but for what prepared rows are kept in."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {path for path in found if not path.startswith(".tunesmith")}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    said = invoke(verb, "--help")
    assert said.exit_code == 0
    assert f"Example: tunesmith {verb}" in said.output
    assert f"Usage: tunesmith {verb}" in said.output or "Usage: root" in said.output


def test_the_verbs_are_these() -> None:
    said = invoke("--help").output
    listed = [line.split()[0] for line in said.partition("Commands:")[2].splitlines() if line.startswith("  ")]
    assert [name for name in listed if name in VERBS] == list(VERBS)


def test_a_spec_that_init_writes_runs_as_it_is(desk: Path) -> None:
    said = invoke("init", "rows.jsonl", "--base", "./base", "--name", "first", "-o", "specs/first.yaml")
    assert said.exit_code == 0, said.output
    text = (desk / "specs/first.yaml").read_text()
    assert "task: classify" in text and '"../rows.jsonl"' in text and 'slices: ["channel"]' in text
    assert "2 labels" in text
    # The base is relative to the spec's folder, as every path in it.
    done = invoke("check", "specs/first.yaml", "base.model=../base")
    assert done.exit_code == 0, done.output
    again = invoke("init", "rows.jsonl", "-o", "specs/first.yaml")
    assert again.exit_code == 2 and "exists already" in again.output


def test_init_keeps_to_what_the_rows_say(desk: Path) -> None:
    rows = [{"question": f"what is {n} + 1?", "answer": str(n + 1)} for n in range(30)]
    (desk / "qa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = invoke("init", "qa.jsonl", "--base", "./base").output
    assert "task: answer" in said and "exact_match" in said
    (desk / "odd.jsonl").write_text('{"a": 1, "b": 2}\n')
    refused = invoke("init", "odd.jsonl")
    assert refused.exit_code == 2 and "map" in refused.output and "Traceback" not in refused.output


def test_check_shows_the_ledger_and_writes_nothing(desk: Path) -> None:
    before = files(desk)
    said = invoke("check", "colours.yaml")
    assert said.exit_code == 0, said.output
    for words in ("265", "exact_dedup: same content", "clean: empty text", "kept", "As the model sees it", "item"):
        assert words in said.output, words
    as_json = json.loads(invoke("check", "colours.yaml", "--json", "--sample", "1").stdout)
    assert as_json["ledger"]["rows"]["read"] == 265 and len(as_json["sample"]) == 1
    assert files(desk) == before


def test_data_shows_rows_with_their_reasons(desk: Path) -> None:
    dropped = json.loads(invoke("data", "colours.yaml", "--json", "--limit", "3").stdout)
    assert dropped["total"] == 25 and len(dropped["rows"]) == 3
    assert {row["step"] for row in dropped["rows"]} <= {"clean", "exact_dedup"}
    kept = json.loads(invoke("data", "colours.yaml", "--show", "kept", "--json", "--limit", "1000").stdout)
    assert kept["total"] == 240 == len(kept["rows"])
    assert "of 25 dropped rows" in invoke("data", "colours.yaml").output
    with (desk / "rows.jsonl").open("a") as rows:
        rows.write('{"text": "bad\\u0007 bell", "label": "warm", "channel": "chat"}\n')
    changed = invoke("data", "colours.yaml", "--show", "changed")
    assert "- bad" in changed.output and "+ bad bell" in changed.output


def test_data_report_writes_a_page_and_its_figures(desk: Path) -> None:
    before = files(desk)
    said = invoke("data", "colours.yaml", "--report")
    assert said.exit_code == 0, said.output
    assert files(desk) - before == {"audit", "audit/colours.html", "audit/colours.json"}
    found = json.loads((desk / "audit/colours.json").read_text("utf-8"))
    assert found["sizes"]["rows"] == 240 and {one["column"] for one in found["coverage"]["values"]} == {"channel"}
    assert [step["step"] for step in found["steps"]] == ["clean", "exact_dedup"]
    assert found["findings"][0]["said"] in said.output and "audit/colours.html" in said.output
    page = (desk / "audit/colours.html").read_text("utf-8")
    assert "240 rows" in page and "channel: email" in page
    again = json.loads(invoke("data", "colours.yaml", "--out", "elsewhere/data.html", "--json").stdout)
    assert again["page"] == "elsewhere/data.html" and (desk / "elsewhere/data.json").exists()
    assert again["findings"] == found["findings"]


def test_an_audit_of_refused_data_says_why_first(desk: Path) -> None:
    changes = ("train.objective=sft", "data.max_length=8 tokens", "data.too_long=drop")
    said = invoke("data", "colours.yaml", "--report", "--json", *changes)
    assert said.exit_code == 0, said.output
    first = json.loads(said.stdout)["findings"][0]
    assert first["id"] == "refused" and "would be lost" in first["said"]


def test_a_wrong_spec_is_told_before_what_runs_it_is_loaded(desk: Path) -> None:
    (desk / "wrong.yaml").write_text((desk / "colours.yaml").read_text().replace("batch:", "bath:"))
    told = "import sys; from tunesmith.cli.app import app; app(sys.argv[1:], standalone_mode=False)"
    for arguments in (["check", "wrong.yaml"], ["run", "nowhere.yaml"], ["plan", "colours.yaml", "train.bath=1"]):
        said = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", told, *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        loaded = {line.rpartition("|")[2].strip() for line in said.stderr.splitlines() if "import time:" in line}
        assert "error: " in said.stderr and "tunesmith.spec.load" in loaded
        assert not loaded & {"transformers", "tunesmith.flow"}, arguments


@pytest.mark.parametrize("verb", ["check", "plan", "search", "run"])
def test_what_could_not_be_measured_is_refused_by_every_verb(desk: Path, verb: str) -> None:
    said = invoke(verb, "colours.yaml", "goal.targets.0={metric: rougeL, at_least: 0.5}")
    assert said.exit_code == 2 and "rougeL" in said.output, said.output
    assert not (desk / "runs").exists() and not (desk / "studies").exists()


def test_plan_says_what_a_run_would_take(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(desk)
    said = json.loads(invoke("plan", "colours.yaml", "--json").stdout)
    [stage] = said["stages"]
    assert stage["steps"] == 2 and stage["rows"] == 120
    assert stage["trained_parameters"] == stage["num_parameters"]
    assert stage["tokens"] == pytest.approx(2 * 16 * 14.8, rel=0.2)
    assert 0 < stage["seconds"] < 60 and "real steps" in stage["seconds_basis"]
    assert "longest rows" in stage["memory_basis"]
    epochs = json.loads(invoke("plan", "colours.yaml", "train.duration=3 epochs", "--json").stdout)
    assert epochs["stages"][0]["steps"] == 3 * 8
    lora = json.loads(invoke("plan", "colours.yaml", "train.adapter={kind: lora, rank: 4}", "--json").stdout)
    assert lora["stages"][0]["trained_parameters"] < stage["trained_parameters"] / 4
    assert "parameters" in invoke("plan", "colours.yaml").output
    once = json.loads(
        invoke("plan", "colours.yaml", "train.duration=3 epochs", "train.freeze={layers: 1}", "--json").stdout
    )
    (frozen,) = once["stages"]
    assert (
        "1 frozen layer is computed once for each row; what it says is kept in memory: " in frozen["cache"]
        and frozen["memory_parts"]["cache"] > 0
    )
    assert not stage["cache"]
    monkeypatch.setattr("tunesmith.flow.plan.stage.LONGEST_TRIAL", 0.0)
    (untried,) = json.loads(invoke("plan", "colours.yaml", "--json").stdout)["stages"]
    assert untried["memory_bytes"] == sum(untried["memory_parts"].values()) and "FLOPs" in untried["seconds_basis"]
    assert files(desk) == before


def test_the_schema_is_json() -> None:
    assert json.loads(invoke("schema").stdout)["properties"]["train"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "nowhere.yaml"), 2, "nowhere.yaml"),
        (("run", "colours.yaml", "train.objectve=sft"), 2, "did you mean 'objective'"),
        (("check", "colours.yaml", "data.sources=[gone.jsonl]"), 2, "gone.jsonl"),
        (("check", "colours.yaml", "base.model=./gone"), 2, "gone"),
        (("check", "colours.yaml", "goal.targets.0.slice={chanel: email}"), 2, "did you mean 'channel'"),
        (("check", "colours.yaml", "evaluate.metrics=[bleu]"), 2, "bleu needs written answers"),
        (("check", "colours.yaml", "goal.targets=[{metric: latency_p95, at_most: 3}]"), 2, "300 ms"),
        (("report", "colours/9"), 2, "no run 'colours/9'"),
        (("show", "colours"), 2, "no run 'colours'"),
        (("run",), 2, "SPEC"),
        (("run", "colours.yaml", "--fast"), 2, "--fast"),
    ],
)
def test_errors_have_a_remedy_and_no_traceback(desk: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    before = files(desk)
    said = invoke(*arguments)
    assert said.exit_code == code, said.output
    assert words in said.output and "Traceback" not in said.output
    assert files(desk) == before


def test_a_gate_that_refuses_leaves_no_run(desk: Path) -> None:
    rows = '{"text": "same", "label": "warm", "channel": "chat"}\n' * 30
    (desk / "rows.jsonl").write_text(rows)
    said = invoke("run", "colours.yaml")
    assert said.exit_code == 2 and "Traceback" not in said.output
    assert not (desk / "runs").exists() or not files(desk / "runs")


def test_stages_follow_each_other(desk: Path) -> None:
    """Two stages: the second starts from the first's weights, and each can be told from the other."""
    first, second = "objective: classify, adapter: full, duration: 3 steps", "adapter: lora, duration: 2 steps"
    stages = f"train=[{{{first}}}, {{{second}}}]"
    said = invoke("train", "colours.yaml", stages)
    assert said.exit_code == 0, said.output
    run = desk / "runs/colours/1"
    assert (run / "model-1/model.safetensors").exists() and (run / "model/adapter_model.safetensors").exists()
    lineage = json.loads((run / "lineage.json").read_text())
    assert [lineage["stages"][name]["steps"] for name in ("train-1", "train-2")] == [3, 2]
    again = invoke("train", "colours.yaml", stages)
    assert again.exit_code == 0 and again.output.count("already done") == 2


def test_no_row_of_one_arm_is_lost_in_another(desk: Path) -> None:
    import pyarrow.parquet as pq

    assert invoke("evaluate", "colours.yaml", "evaluate.max_rows=20").exit_code in (0, 3)
    folder = desk / "runs/colours/1/evaluation"
    tables = [pq.read_table(path) for path in sorted(folder.glob("predictions-*.parquet"))]
    assert len(tables) == 4 and {table.num_rows for table in tables} == {20}
