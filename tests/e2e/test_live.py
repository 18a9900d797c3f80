"""Runs that are watched while they go: by trackers named in the spec, and by a person at a terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.e2e.desk import make_desk, tunesmith
from tunesmith.events import read_events
from tunesmith.flow import tracking
from tunesmith.flow.run import run as run_spec
from tunesmith.runs import Run
from tunesmith.trackers import Told


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    make_desk(tmp_path, duration="1 epoch")
    return tmp_path


def test_a_tracker_of_the_spec_follows_the_run(desk: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'tunesmith[tensorboard]' brings tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = tunesmith("run", "colours.yaml", "track=[tensorboard]", cwd=desk)
    assert done.returncode in (0, 3) and "warning" not in done.stderr, done.stderr
    read = EventAccumulator(str(desk / "tracked/tensorboard/colours/1"), size_guidance={"scalars": 0})
    read.Reload()
    steps = read_events(desk / "runs/colours/1/events.jsonl", "step")
    assert [(event.step, event.value) for event in read.Scalars("train-1/loss")] == [
        (step["step"], pytest.approx(step["loss"], rel=1e-6)) for step in steps
    ]
    assert read.Scalars("train-1/memory_mb")[0].value == steps[0]["memory_mb"] > 50
    assert "test/accuracy/tuned" in read.Tags()["scalars"], "the last word came after the evaluation"


def test_where_a_run_is_sent_does_not_make_it_another_run(desk: Path) -> None:
    assert tunesmith("train", "colours.yaml", "train.duration=2 steps", cwd=desk).returncode == 0
    again = tunesmith("train", "colours.yaml", "train.duration=2 steps", "track=[tensorboard]", cwd=desk)
    assert again.returncode == 0 and "train-1: already done" in again.stderr, again.stderr
    assert not (desk / "runs/colours/2").exists() and (desk / "tracked/tensorboard/colours/1").exists()


def test_a_tracker_that_breaks_is_one_warning_and_nothing_else(desk: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'tunesmith[tensorboard]' brings tensorboard")
    (desk / "file").write_text("no folder")
    plain = tunesmith("train", "colours.yaml", cwd=desk)
    broken = tunesmith("train", "colours.yaml", "name=other", "track=[{kind: tensorboard, folder: file}]", cwd=desk)
    assert plain.returncode == broken.returncode == 0
    said = [line for line in broken.stderr.splitlines() if "warning" in line]
    assert len(said) == 1 and "tensorboard does not follow" in said[0] and "tunesmith send other/1" in said[0]
    models = [desk / "runs" / name / "1/model/model.safetensors" for name in ("colours", "other")]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_a_tracker_that_hangs_is_left_behind(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'tunesmith[tensorboard]' brings tensorboard")
    monkeypatch.setattr(tracking, "FOLLOW", [sys.executable, "-c", "import time; time.sleep(600)"])
    monkeypatch.setattr(tracking, "CLOSING", 0.5)
    heard: list[dict[str, object]] = []
    outcome = run_spec(
        desk / "colours.yaml",
        ["track=[tensorboard]", "train.duration=1 step"],
        desk,
        until="train",
        listen=heard.append,
    )
    assert (outcome.run / "model").is_dir()
    [warning] = [event["text"] for event in heard if event["kind"] == "warning"]
    assert "was not done" in str(warning)


def test_a_tracker_whose_package_is_missing_stops_before_anything_is_made(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.errors import MissingDependency

    monkeypatch.setattr("tunesmith.trackers.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"tunesmith\[wandb\]"):
        run_spec(desk / "colours.yaml", ["track=[wandb]"], desk)
    assert not (desk / "runs").exists()


def test_send_says_where_a_run_stands(desk: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'tunesmith[tensorboard]' brings tensorboard")
    assert tunesmith("train", "colours.yaml", "train.duration=2 steps", cwd=desk).returncode == 0
    rows = len(Told(Run(desk / "runs/colours/1")).rows())
    said = tunesmith("send", "colours", "--to", "tensorboard", "--folder", "curves", "--json", cwd=desk)
    assert json.loads(said.stdout) == {
        "run": "colours/1",
        "tracker": "tensorboard",
        "where": str(desk / "curves/tensorboard/colours/1"),
        "rows": rows,
    }
    wrong = tunesmith("send", "colours", "--to", "tensorbord", cwd=desk)
    assert wrong.returncode == 2 and "did you mean 'tensorboard'" in wrong.stderr
