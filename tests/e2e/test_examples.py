"""The examples do what their pages say, through the real command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[2] / "examples" / "support"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("support")
    make_data(folder)
    for spec in SUPPORT.glob("*.yaml"):
        shutil.copy(spec, folder)
    return folder


def make_data(folder: Path, *arguments: str) -> None:
    command = [sys.executable, str(SUPPORT / "make_data.py"), "--out", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def tunesmith(folder: Path, *arguments: str) -> tuple[int, dict]:
    command = [sys.executable, "-c", "from tunesmith.cli.app import main; main()", *arguments, "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_desk_is_the_same_for_the_same_seed(desk, tmp_path):
    make_data(tmp_path)
    for name in ("tickets.jsonl", "last_week.jsonl"):
        assert (tmp_path / name).read_bytes() == (desk / name).read_bytes()
    make_data(tmp_path, "--seed", "8")
    assert (tmp_path / "tickets.jsonl").read_bytes() != (desk / "tickets.jsonl").read_bytes()


def test_the_desk_is_as_messy_as_it_says(desk):
    lines = (desk / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    rows, broken = [], 0
    for line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            broken += 1
    labels = Counter(row["label"] for row in rows if row["label"])
    assert len(lines) == 2000
    assert broken == 24
    assert sum(not (row["text"] or "").strip() for row in rows) == 26
    assert len(labels) == 10
    assert max(labels.values()) > 4 * min(labels.values())
    assert {row["channel"] for row in rows} == {"email", "chat", "phone"}
    assert len({row["region"] for row in rows}) == 4


def test_triage_ships(desk):
    code, said = tunesmith(desk, "run", "triage.yaml")
    assert said["verdict"]["decision"] == "SHIP"
    assert code == 0
    run = desk / said["path"]
    assert (run / "report.html").stat().st_size > 10_000
    assert [target["outcome"] for target in said["verdict"]["targets"]] == ["met"] * 3
    rows = json.loads((run / "data" / "ledger.json").read_text())
    reasons = Counter(dropped["step"] for dropped in rows["dropped"] for _ in range(dropped["count"]))
    assert reasons["read"] == 24
    assert reasons["exact_dedup"] >= 110 + 14
    assert rows["rows"]["read"] == 2334 == rows["rows"]["kept"] + rows["rows"]["dropped"]


def test_targets_out_of_reach_do_not_ship(desk):
    code, said = tunesmith(desk, "run", "out_of_reach.yaml")
    assert said["verdict"]["decision"] == "DON'T SHIP"
    assert code == 3
    assert said["verdict"]["targets"][0]["outcome"] == "missed"
