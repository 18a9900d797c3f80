"""The same spec on several devices: the same course and verdict, and an end in order whatever happens to a process."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.e2e.desk import command, make_desk, tunesmith
from tests.e2e.test_run import LEFT
from tunesmith.events import read_events

# Heads of ours drop a tenth of what they read; without dropout the courses are equal.
PLAIN = ("colours.yaml", "train.objective=sft", "train.precision=fp32", "train.validate_every=6 steps")
TWO = "scale.devices=2"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    make_desk(folder, duration="2 epochs")
    return folder


@pytest.fixture(scope="module")
def both(desk: Path) -> tuple[Path, ...]:
    """The run of one process, that of two, and that of two that cut the layers into shards."""
    done = []
    for name, more in (("one", ["scale.devices=1"]), ("two", [TWO]), ("cut", [TWO, "scale.shard=full"])):
        ended = tunesmith("run", *PLAIN, *more, f"name={name}", cwd=desk)
        assert ended.returncode in (0, 3), ended.stderr
        done.append(desk / "runs" / name / "1")
    return tuple(done)


def course(run: Path) -> list[float]:
    return [event["loss"] for event in read_events(run / "events.jsonl", "step")]


@pytest.mark.parametrize("which", [1, 2], ids=["whole", "cut"])
def test_two_processes_leave_what_one_leaves(both: tuple[Path, ...], which: int) -> None:
    one, two = both[0], both[which]
    for name in LEFT:
        assert (two / name).stat().st_size > 0, name
    assert not list(two.rglob("*.unfinished")) and not (two / "checkpoints" / "1").exists()
    assert course(two) == pytest.approx(course(one), rel=1e-5)
    said = [event["text"] for event in read_events(two / "events.jsonl", "note")]
    assert "2 processes train together, each with 1 thread" in said
    assert len({*said}) == len(said), "only one of them speaks"
    expected, found = (load_file(run / "model" / "model.safetensors") for run in (one, two))
    assert found.keys() == expected.keys()
    assert max(abs(found[name] - expected[name]).max() for name in expected) < 1e-3
    verdicts = [json.loads((run / "evaluation" / "verdict.json").read_text()) for run in (one, two)]
    assert verdicts[0]["decision"] == verdicts[1]["decision"]
    results = [json.loads((run / "stages" / "train-1.json").read_text())["result"] for run in (one, two)]
    assert [result["processes"] for result in results] == [1, 2]
    assert results[0]["steps"] == results[1]["steps"] and results[0]["tokens"] == results[1]["tokens"]


def test_another_number_of_devices_is_the_same_run(both: tuple[Path, ...]) -> None:
    again = tunesmith("run", *PLAIN, "scale.devices=1", "name=two", "--json", cwd=both[1].parents[2])
    said = json.loads(again.stdout)
    assert said["run"] == "two/1" and said["already_done"]


def test_one_process_has_nobody_to_share_shards_with(desk: Path) -> None:
    ended = tunesmith("train", *PLAIN, "scale={devices: 1, shard: full}", "name=none", cwd=desk)
    assert ended.returncode == 2 and "scale.shard: one process holds all there is" in ended.stderr


def begin(desk: Path, name: str) -> subprocess.Popen[str]:
    """A run of two processes, so far that it trains."""
    shutil.rmtree(desk / "runs" / name, ignore_errors=True)
    process = subprocess.Popen(
        command("train", *PLAIN, TWO, f"name={name}", "train.duration=4000 steps"),
        cwd=desk,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not list((desk / "runs" / name / "1" / "checkpoints" / "1").glob("step-*[0-9]")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    return process


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_a_killed_process_ends_the_run_by_name_and_it_goes_on_alone(desk: Path) -> None:
    process = begin(desk, "killed")
    both = children(process.pid)
    assert len(both) == 2
    os.kill(both[1], signal.SIGKILL)
    began = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert process.returncode == 1
    assert "process 2 of 2 was killed (SIGKILL)" in said and "Traceback" not in said
    assert all(not Path(f"/proc/{child}").exists() for child in both)

    arguments = ("train", *PLAIN, "name=killed", "train.duration=4000 steps", "--json")
    events = desk / "runs/killed/1/events.jsonl"
    reached = len(read_events(events, "step"))
    alone = subprocess.Popen(command(*arguments), cwd=desk, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(read_events(events, "step")) < reached + 3:
        assert alone.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    alone.send_signal(signal.SIGINT)
    alone.communicate(timeout=60)
    assert alone.returncode == 130
    numbers = [json.loads(line)["step"] for line in events.read_text().splitlines() if '"kind": "step"' in line]
    assert numbers.count(1) == 1, "it went on from a checkpoint of both"


def test_asked_to_stop_both_stop_after_the_same_step_and_go_on(desk: Path) -> None:
    process = begin(desk, "asked")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    stopped = int(re.search(r"stopped after step (\d+)", said)[1])
    checkpoints = sorted((desk / "runs/asked/1/checkpoints/1").glob("step-*"))
    assert int(checkpoints[-1].name[5:]) == stopped == len(read_events(desk / "runs/asked/1/events.jsonl", "step"))


def test_an_error_of_the_training_reads_as_it_does_alone(desk: Path) -> None:
    """A learning rate at which nothing stays finite: the same named error, and the rows of the whole step."""
    changes = ("train.optimizer.lr=1e30", "train.optimizer.clip=null", "train.watch=[]")
    ended = tunesmith("train", *PLAIN, *changes, TWO, "name=broken", cwd=desk)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert re.search(r"failed: rows .* and 8 more: the (loss|gradient) of step \d+ is not finite", ended.stderr)
