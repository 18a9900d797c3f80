"""What a run learns from, through the command line: mixtures, replay, curricula, and stages one after another."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.e2e.desk import make_desk, tunesmith, write_rows
from tunesmith.flow.data.prepare import collect_job, encode_job
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import make_request

SHORT = ["train.duration=4 steps", "evaluate.arms=[tuned]", "goal.targets=[]"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    make_desk(folder)
    write_rows(folder / "more.jsonl", 30, seed=5)
    lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    graded = "".join(json.dumps({**row, "grade": number % 7}) + "\n" for number, row in enumerate(lines))
    (folder / "graded.jsonl").write_text(graded)
    older = [{"text": f"old thing {number}", "label": ["warm", "mild"][number % 2]} for number in range(20)]
    (folder / "older.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*older, *lines[:50]]))
    assert tunesmith("run", "colours.yaml", *SHORT, cwd=folder).returncode == 0
    return folder


def ledger_of(desk: Path, said: str) -> dict:
    return json.loads((desk / "runs" / json.loads(said)["run"] / "data" / "ledger.json").read_text())


def told(desk: Path, said: str) -> str:
    return (desk / "runs" / json.loads(said)["run"] / "events.jsonl").read_text()


def test_a_mixture_is_shown_and_followed(desk: Path) -> None:
    mixed = ["data.sources=[rows.jsonl, more.jsonl]", "data.mixture={temperature: 2}", "data.split.stratify=label"]
    shown = tunesmith("check", "colours.yaml", *mixed, cwd=desk)
    assert shown.returncode == 0, shown.stderr
    assert (
        "An epoch" in shown.stdout and "of them, in turns" in shown.stdout and "wait for a later epoch" in shown.stdout
    )
    done = tunesmith("run", "colours.yaml", *mixed, *SHORT, "--json", cwd=desk)
    assert done.returncode == 0, done.stderr
    rows, more = ledger_of(desk, done.stdout)["epoch"]
    assert f"an epoch holds {rows['drawn']} (" in told(desk, done.stdout)
    assert rows["drawn"] / more["drawn"] == pytest.approx((rows["rows"] / more["rows"]) ** 0.5, rel=0.05)
    assert rows["drawn"] + more["drawn"] == rows["rows"] + more["rows"]


@pytest.mark.parametrize("source", ["run:colours/1", "older.jsonl"])
def test_older_rows_are_replayed(desk: Path, source: str) -> None:
    (desk / "new.jsonl").write_text(
        "".join(json.dumps({"text": f"new thing {number}", "label": ["warm", "cold"][number % 2]}) + "\n"
                for number in range(60))
    )  # fmt: skip
    changes = ["data.sources=[new.jsonl]", f"train.replay={{source: {source}, share: 20%}}", "evaluate.slices=[]"]
    done = tunesmith("run", "colours.yaml", *changes, *SHORT, "--json", cwd=desk)
    assert done.returncode == 0, done.stderr
    ledger = ledger_of(desk, done.stdout)
    new, old = ledger["epoch"]
    assert old["source"] == source and old["drawn"] / (new["drawn"] + old["drawn"]) == pytest.approx(0.2, abs=0.02)
    assert ledger["rows"]["read"] == ledger["rows"]["kept"] + ledger["rows"]["dropped"]
    run = desk / "runs" / json.loads(done.stdout)["run"]
    assert ledger["splits"]["replay"]["rows"] == len(pyarrow.parquet.read_table(run / "data" / "replay.parquet"))
    digests = {file["path"]: file["sha256"] for file in json.loads((run / "lineage.json").read_text())["data"]}
    assert len(digests) == 2 and source in digests
    again = tunesmith("run", "colours.yaml", *changes, *SHORT, "--json", cwd=desk)
    assert json.loads(again.stdout)["already_done"]


def test_each_stage_replays_its_own(desk: Path) -> None:
    for name, text in (("one", "the first of the old"), ("two", "the second of the old")):
        rows = [{"text": f"{text} {number}", "label": "warm"} for number in range(9)]
        (desk / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stages = ["{replay: {source: one.jsonl, share: 30%}}", "{}", "{replay: {source: two.jsonl, share: 10%}}"]
    request = make_request(desk / "colours.yaml", [f"train=[{', '.join(stages)}]"], desk)
    job, collected = collect_job(request, Narrator())
    job, _ = encode_job(job, collected, Narrator())
    replayed = [{row.source.partition(":")[0] for row in job.learned(number)} - {"rows.jsonl"} for number in range(3)]
    assert replayed == [{"one.jsonl"}, set(), {"two.jsonl"}]
    assert len(job.splits["replay"]) == 18 and [entry.source for entry in collected.ledger.epoch][1:] == ["two.jsonl"]
    assert [job.source(origin) for origin in range(3)] == ["rows.jsonl", "one.jsonl", "two.jsonl"]


def test_a_curriculum_by_a_column(desk: Path) -> None:
    by = ["data.sources=[graded.jsonl]", "data.curriculum=grade"]
    done = tunesmith("run", "colours.yaml", *by, *SHORT, "--json", cwd=desk)
    assert done.returncode == 0, done.stderr
    assert "the rows with the highest grade are never learned" in told(desk, done.stdout)
    missing = tunesmith("check", "colours.yaml", "data.curriculum=grade", cwd=desk)
    assert missing.returncode == 2 and "there is no column 'grade'" in missing.stderr
    wrong = tunesmith("check", "colours.yaml", "data.curriculum=channel", cwd=desk)
    assert wrong.returncode == 2 and "have no number in the column 'channel': rows.jsonl:" in wrong.stderr
