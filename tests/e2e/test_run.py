"""From a spec to a verdict through the real command line, and what happens when it is given again."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.desk import command, make_desk, tunesmith, write_rows

LEFT = [
    *("spec.yaml", "spec.json", "environment.json", "events.jsonl", "lineage.json", "manifest.json"),
    *("report.html", "card.md", "data/train.parquet", "data/validation.parquet", "data/test.parquet"),
    *("data/dropped.parquet", "data/changed.parquet", "data/ledger.json", "data/sample.json"),
    *("model/model.safetensors", "model/tunesmith.json", "evaluation/comparison.json", "evaluation/verdict.json"),
    "evaluation/contamination.json",
    *("evaluation/predictions-base.parquet", "evaluation/predictions-tuned.parquet"),
]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    make_desk(folder)
    done = tunesmith("run", "colours.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "SHIP" in done.stdout and "Traceback" not in done.stderr
    return folder


def test_a_run_leaves_everything_it_promises(shipped: Path) -> None:
    run = shipped / "runs" / "colours" / "1"
    for name in LEFT:
        assert (run / name).stat().st_size > 0, name
    manifest = json.loads((run / "manifest.json").read_text())
    for name, said in manifest["files"].items():
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() == said["sha256"], name
    assert not list(run.rglob("*.unfinished")) and not list(run.rglob("*.pkl"))


def test_every_row_is_accounted_for(shipped: Path) -> None:
    ledger = json.loads((shipped / "runs/colours/1/data/ledger.json").read_text())
    assert ledger["rows"]["read"] == 240 + 24 + 1
    assert ledger["rows"]["read"] == ledger["rows"]["kept"] + ledger["rows"]["dropped"]
    assert ledger["rows"]["dropped"] == 24 + 1
    assert sum(split["rows"] for split in ledger["splits"].values()) == ledger["rows"]["kept"]


def test_the_same_command_again_does_nothing(shipped: Path) -> None:
    model = shipped / "runs/colours/1/model/model.safetensors"
    before = (model.stat().st_mtime_ns, (shipped / "runs/colours/1/events.jsonl").read_text().count('"step"'))
    again = tunesmith("run", "colours.yaml", "--json", cwd=shipped)
    assert again.returncode == 0, again.stderr
    said = json.loads(again.stdout)
    assert said["already_done"] and said["run"] == "colours/1" and said["verdict"]["decision"] == "SHIP"
    assert before == (model.stat().st_mtime_ns, (shipped / "runs/colours/1/events.jsonl").read_text().count('"step"'))
    assert sorted(path.name for path in (shipped / "runs/colours").iterdir()) == ["1"]


def test_other_targets_are_judged_anew_on_the_same_training(shipped: Path) -> None:
    done = tunesmith("run", "colours.yaml", "goal.targets.0.at_least=0.9", "--json", cwd=shipped)
    said = json.loads(done.stdout)
    assert said["run"] != "colours/1"
    run = Path(shipped, "runs", said["run"])
    assert not (run / "checkpoints").exists()
    assert "borrowed" in (run / "events.jsonl").read_text()
    first = (shipped / "runs/colours/1/model/model.safetensors").read_bytes()
    assert (run / "model/model.safetensors").read_bytes() == first


def test_dont_ship_is_exit_code_3(shipped: Path) -> None:
    done = tunesmith("run", "colours.yaml", "goal.targets=[{metric: latency_p95, at_most: 0.001 ms}]", cwd=shipped)
    assert done.returncode == 3, done.stderr
    assert "DON'T SHIP" in done.stdout


def test_another_seed_trains_other_weights(shipped: Path) -> None:
    done = tunesmith("train", "colours.yaml", "train.seed=1", "train.duration=1 epoch", cwd=shipped)
    assert done.returncode == 0, done.stderr
    model = Path(shipped, done.stdout.strip())
    assert model.name == "model"
    assert (model / "model.safetensors").read_bytes() != (
        shipped / "runs/colours/1/model/model.safetensors"
    ).read_bytes()


def test_looking_at_runs(shipped: Path) -> None:
    listed = json.loads(tunesmith("ls", "--json", cwd=shipped).stdout)
    assert listed[0]["run"] == "colours/1" and listed[0]["decision"] == "SHIP"
    shown = tunesmith("show", "colours/1", cwd=shipped)
    assert shown.returncode == 0 and "accuracy" in shown.stdout
    origins = tunesmith("show", "colours.yaml", cwd=shipped).stdout
    assert "derived" in origins and "colours.yaml:" in origins and "default" in origins
    assert json.loads(tunesmith("show", "colours/1", "--json", cwd=shipped).stdout)["lineage"]["model_digest"]
    rewritten = tunesmith("report", "colours/1", cwd=shipped)
    assert "report.html" in rewritten.stdout
    assert tunesmith("show", "colour/1", cwd=shipped).returncode == 2


def test_test_rows_that_were_trained_on_do_not_decide(tmp_path: Path) -> None:
    """A fixed test file holds rows of the training file, shouted, and rows of its own."""
    make_desk(tmp_path, duration="2 steps")
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    old = [json.loads(line) for line in lines[:20]]
    old = [{**row, "text": row["text"].upper() + "!"} for row in old]  # another row to the splits
    new = [{"text": f"thing {at} looks red", "label": "warm", "channel": "email"} for at in range(12)]
    (tmp_path / "held.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (*old, *new)))
    changes = [
        "data.sources=[rows.jsonl, {path: held.jsonl, split: test}]",
        "data.split.test=0",
        "data.split.train=0.7",
        "data.split.validation=0.3",
        "data.split.leakage=ignore",
    ]
    done = tunesmith("evaluate", "colours.yaml", *changes, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    said = json.loads((tmp_path / "runs/colours/1/evaluation/contamination.json").read_text())
    assert said["num_rows"] >= 30 and len(said["leaks"]) > 5
    assert {leak["how"] for leak in said["leaks"]} == {"exact"} and {leak["pool"] for leak in said["leaks"]} == {
        "train"
    }
    verdict = json.loads((tmp_path / "runs/colours/1/evaluation/verdict.json").read_text())
    assert verdict["warnings"][0]["kind"] == "contamination"
    assert verdict["targets"][0]["outcome"] == "undecided" and "too few to decide by" in verdict["reason"]
    comparison = json.loads((tmp_path / "runs/colours/1/evaluation/comparison.json").read_text())
    assert comparison["num_rows"] == said["num_rows"] - len(said["leaks"])


def test_data_changed_means_another_run(tmp_path: Path) -> None:
    make_desk(tmp_path, duration="4 steps")
    assert tunesmith("train", "colours.yaml", cwd=tmp_path).returncode == 0
    write_rows(tmp_path / "rows.jsonl", seed=1)
    assert tunesmith("train", "colours.yaml", cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in (tmp_path / "runs/colours").iterdir()) == ["1", "2"]


def test_a_run_trains_on_from_another(shipped: Path) -> None:
    done = tunesmith(
        "train", "colours.yaml", "base.model=run:colours/1", "name=more", "train.duration=2 steps", cwd=shipped
    )
    assert done.returncode == 0, done.stderr
    lineage = json.loads((shipped / "runs/more/1/lineage.json").read_text())
    first = json.loads((shipped / "runs/colours/1/lineage.json").read_text())
    assert lineage["base"]["digest"] == first["model_digest"]


def _weights(folder: Path) -> bytes:
    return (folder / "runs/colours/1/model/model.safetensors").read_bytes()


@pytest.mark.parametrize(("kills", "steps"), [(3, 60), pytest.param(6, 400, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_in_the_same_weights(tmp_path: Path, kills: int, steps: int) -> None:
    """SIGKILL some steps further each time, the same command again: bit-equal weights and one run."""
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    for folder in (quiet, killed):
        make_desk(folder, duration=f"{steps} steps")
    arguments = ("train", "colours.yaml", "train.validate_every=10 steps", "train.precision=fp32", "train.watch=[]")
    assert tunesmith(*arguments, cwd=quiet).returncode == 0
    moments = random.Random(5)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for _ in range(kills):
        process = subprocess.Popen(
            command(*arguments), cwd=killed, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait_for_steps(killed, process, moments.randint(1, 15))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    done = tunesmith(*arguments, cwd=killed)
    assert done.returncode == 0, done.stderr
    assert _weights(killed) == _weights(quiet)
    assert sorted(path.name for path in (killed / "runs/colours").iterdir()) == ["1"]


def _wait_for_steps(folder: Path, process: subprocess.Popen[bytes], more: int) -> None:
    """Until so many steps more than before stand in the diary."""
    diary = folder / "runs/colours/1/events.jsonl"
    wanted = more + (diary.read_text().count('"kind": "step"') if diary.exists() else 0)
    while not diary.exists() or diary.read_text().count('"kind": "step"') < wanted:
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.002)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    make_desk(tmp_path, duration="2000 steps")
    arguments = ("train", "colours.yaml", "train.watch=[]")
    process = subprocess.Popen(
        command(*arguments),
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for_steps(tmp_path, process, 1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "same command again" in said and "Traceback" not in said
    assert list((tmp_path / "runs/colours/1/checkpoints/1").glob("step-*"))
    assert not (tmp_path / "runs/colours/1/manifest.json").exists()


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    make_desk(tmp_path, duration="2000 steps")
    arguments = ("train", "colours.yaml", "train.watch=[]")
    first = subprocess.Popen(
        command(*arguments),
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for_steps(tmp_path, first, 1)
        second = tunesmith(*arguments, cwd=tmp_path)
        assert second.returncode == 2
        assert f"process {first.pid}" in second.stderr
    finally:
        first.kill()
        first.wait()
