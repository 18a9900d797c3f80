"""SIGKILL at random moments, the same command again, and the same weights in the end."""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
import train_until_killed
from safetensors.torch import load_file

from tunesmith.train.checkpoint import Checkpoints

# One process imports torch; every training is a fresh copy of it. There is one such server a process, and the seeded
# bugs (tests/mutants) need one that has not imported the package, so the list is the same there.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "pytest",
        "transformers.models.bert.modeling_bert",
        "transformers.models.llama.modeling_llama",
        "transformers.models.t5.modeling_t5",
    ]
)


def start(folder: Path, journal: Path, epochs: int) -> BaseProcess:
    process = FORKS.Process(target=train_until_killed.main, args=(folder, journal, epochs))
    process.start()
    return process


def last_step(journal: Path) -> dict[int, str]:
    """The last word of each step; a line torn by the kill is left out."""
    lines = journal.read_text().split("\n")[:-1] if journal.exists() else []
    return {int(line.split()[0]): line for line in lines if line != "done" and line.count(" ") == 2}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(sorted(folder.glob("step-*"))[-1] / "tensors.safetensors")


def kill_and_go_on(folder: Path, journal: Path, epochs: int, kills: int, most: int) -> None:
    """Kills a training, up to `most` steps after it went on, at any moment of a step or of a save; then lets it end."""
    draw = random.Random(1)
    killed = 0
    for attempt in range(6 * kills):
        process = start(folder, journal, epochs)
        reached = len(last_step(journal))
        until = min(reached + attempt % (most + 1), 8 * epochs)
        while killed < kills and process.is_alive() and len(last_step(journal)) < until:
            time.sleep(0.002)
        if killed < kills and process.is_alive():
            time.sleep(draw.random() * 0.03)
            process.kill()
            killed += 1
        process.join()
        if process.exitcode == 0:
            break
        said: list[str] = []
        # Every second time the training itself finds what the kill left.
        if attempt % 2:
            saved = Checkpoints(folder, warn=said.append).latest()
            noted, held = max(last_step(journal), default=0), saved.state["step"] if saved else 0
            assert said == [] and noted - 1 <= held <= noted, f"kill {killed}"
    assert killed == kills and journal.read_text().endswith("done\n")


def test_after_kills_the_result_is_the_same(tmp_path: Path, kills: int = 10, epochs: int = 4, most: int = 3) -> None:
    process = start(tmp_path / "whole", tmp_path / "whole.txt", epochs)
    process.join()
    assert process.exitcode == 0
    expected = last_step(tmp_path / "whole.txt")
    assert len(expected) == 8 * epochs, "30 rows, 4 a step"
    for epoch in range(epochs):
        seen = [name for step in range(8 * epoch + 1, 8 * epoch + 9) for name in expected[step].split()[2].split(",")]
        assert sorted(seen) == sorted(f"row-{number}" for number in range(30))
    folder, journal = tmp_path / "killed", tmp_path / "killed.txt"
    kill_and_go_on(folder, journal, epochs, kills, most)
    assert last_step(journal) == expected, "no step is lost between its line and its checkpoint"
    reference, found = weights(tmp_path / "whole"), weights(folder)
    assert found.keys() == reference.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in reference.items())
    assert not list(folder.glob("*.unfinished"))


@pytest.mark.slow
def test_after_two_hundred_kills_too(tmp_path: Path) -> None:
    test_after_kills_the_result_is_the_same(tmp_path, kills=200, epochs=80, most=2)
