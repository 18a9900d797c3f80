"""SIGKILL at random moments, the same command again, and the same weights in the end."""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
import train_until_killed
from safetensors.torch import load_file

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


def start(folder: Path, journal: Path) -> BaseProcess:
    process = FORKS.Process(target=train_until_killed.main, args=(folder, journal))
    process.start()
    return process


def last_step(journal: Path) -> dict[int, str]:
    """The last word of each step; a line torn by the kill is left out."""
    lines = journal.read_text().split("\n")[:-1] if journal.exists() else []
    return {int(line.split()[0]): line for line in lines if line != "done" and line.count(" ") == 2}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(sorted(folder.glob("step-*"))[-1] / "tensors.safetensors")


def test_ten_kills(tmp_path):
    process = start(tmp_path / "whole", tmp_path / "whole.txt")
    process.join()
    assert process.exitcode == 0
    expected = last_step(tmp_path / "whole.txt")
    assert len(expected) == 32, "4 epochs of 30 rows, 4 a step"
    for epoch in range(4):
        seen = [name for step in range(8 * epoch + 1, 8 * epoch + 9) for name in expected[step].split()[2].split(",")]
        assert sorted(seen) == sorted(f"row-{number}" for number in range(30))

    draw = random.Random(1)
    folder, journal = tmp_path / "killed", tmp_path / "killed.txt"
    kills = 0
    for attempt in range(60):
        process = start(folder, journal)
        reached = len(last_step(journal))
        # Kills fall after some more steps, at any moment of a step or of a save.
        while kills < 10 and process.is_alive() and len(last_step(journal)) < min(reached + 1 + attempt % 4, 32):
            time.sleep(0.002)
        if kills < 10 and process.is_alive():
            time.sleep(draw.random() * 0.03)
            process.kill()
            kills += 1
        process.join()
        if process.exitcode == 0:
            break
    assert kills == 10 and journal.read_text().endswith("done\n")
    assert last_step(journal) == expected, "no step is lost between its line and its checkpoint"
    reference = weights(tmp_path / "whole")
    found = weights(folder)
    assert found.keys() == reference.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in reference.items())
