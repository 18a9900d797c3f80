"""Stages one after another are one object: killed anywhere it goes on, bit for bit, each from the model before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.e2e.desk import command, make_desk, tunesmith
from tunesmith.testing.tiny import tiny_model, tiny_tokenizer

SPEC = """\
name: staged
goal: {task: classify}
data: {sources: [rows.jsonl], split: {train: 0.5, validation: 0.2, test: 0.3}, max_length: 64 tokens}
base: {model: ./base}
train:
  - {objective: pretrain, duration: 24 steps, validate_every: 10 steps, precision: fp32, watch: []}
  - objective: {kind: sft, label_smoothing: 0.1}
    duration: 24 steps
    validate_every: 10 steps
    precision: fp32
    watch: []
  - objective: {kind: distill, teacher: ./teacher, temperature: 2.0, alpha: 0.3}
    duration: 24 steps
    validate_every: 10 steps
    precision: fp32
    watch: []
"""
STAGES = ("model-1", "model-2", "model")


def staged(folder: Path) -> Path:
    make_desk(folder)
    tiny_model(folder / "teacher", seed=5)
    (folder / "staged.yaml").write_text(SPEC)
    return folder


def weights(folder: Path, name: str, run: int = 1) -> dict[str, torch.Tensor]:
    return load_file(folder / f"runs/staged/{run}/{name}/model.safetensors")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = staged(tmp_path_factory.mktemp("quiet"))
    done = tunesmith("run", "staged.yaml", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"]["decision"] == "NO TARGETS"
    return folder


def diary(folder: Path) -> list[dict]:
    path = folder / "runs/staged/1/events.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def begun(stage: str):
    return lambda said: any(e["kind"] == "stage" and e["stage"] == stage and e["status"] == "start" for e in said)


def at_step(stage: str, number: int):
    return lambda said: any(e["kind"] == "step" and e["stage"] == stage and e["step"] >= number for e in said)


KILLS = [begun("train-2"), at_step("train-2", 13), begun("train-3"), at_step("train-3", 13)]


@pytest.mark.slow
def test_killed_between_and_within_stages_it_ends_in_the_same_weights(quiet: Path, tmp_path: Path) -> None:
    killed = staged(tmp_path)
    for moment in KILLS:
        process = subprocess.Popen(
            command("train", "staged.yaml"), cwd=killed, env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while not moment(diary(killed)):
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    done = tunesmith("train", "staged.yaml", cwd=killed)
    assert done.returncode == 0, done.stderr
    for name in STAGES:
        assert (killed / "runs/staged/1" / name / "model.safetensors").read_bytes() == (
            quiet / "runs/staged/1" / name / "model.safetensors"
        ).read_bytes(), name
    ended = [e["stage"] for e in diary(killed) if e["kind"] == "stage" and e["status"] == "done"]
    assert [name for name in ended if name.startswith("train")] == ["train-1", "train-2", "train-3"]


def test_a_stage_starts_with_the_model_of_the_stage_before(quiet: Path) -> None:
    """A stage that hardly moves ends where the one before it ended, which is not where that one began."""
    still = [f"train.{number}.optimizer={{kind: sgd, lr: 1.0e-12}}" for number in (1, 2)]
    done = tunesmith("train", "staged.yaml", *still, cwd=quiet)
    assert done.returncode == 0, done.stderr
    first, base = weights(quiet, "model-1", 2), load_file(quiet / "base/model.safetensors")
    assert max(float((weight - base[name]).abs().max()) for name, weight in first.items() if name in base) > 1e-3
    for later in ("model-2", "model"):
        assert all(torch.allclose(weight, first[name], atol=1e-7) for name, weight in weights(quiet, later, 2).items())
    said = json.loads((quiet / "runs/staged/2/lineage.json").read_text())
    assert (
        said["stages"]["train-1"] == json.loads((quiet / "runs/staged/1/lineage.json").read_text())["stages"]["train-1"]
    )


def test_the_teacher_is_part_of_the_run(quiet: Path) -> None:
    said = json.loads((quiet / "runs/staged/1/lineage.json").read_text())
    (teacher,) = said["teachers"]
    assert teacher["reference"] == "./teacher" and len(teacher["digest"]) == 64
    steps = [event for event in diary(quiet) if event["kind"] == "step" and event["stage"] == "train-3"]
    assert steps[-1]["metrics"]["divergence"] < steps[0]["metrics"]["divergence"]
    tiny_model(quiet / "teacher", seed=6)
    planned = tunesmith("plan", "staged.yaml", cwd=quiet)
    assert planned.returncode == 0 and "distill" in planned.stdout, planned.stderr
    again = tunesmith("train", "staged.yaml", "--json", cwd=quiet)
    assert again.returncode == 0 and json.loads(again.stdout)["run"] != "staged/1", "another teacher, another run"


def test_a_teacher_of_another_vocabulary_is_refused_before_anything_is_trained(quiet: Path) -> None:
    tiny_model(quiet / "stranger", tokenizer=tiny_tokenizer(300))
    stranger = "train.2.objective={kind: distill, teacher: ./stranger}"
    refused = tunesmith("check", "staged.yaml", stranger, cwd=quiet)
    assert refused.returncode == 2, refused.stdout
    assert "train.2.objective.teacher" in refused.stderr and "has another vocabulary" in refused.stderr
