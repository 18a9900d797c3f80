"""Trainings by several processes of this machine, for the tests of more than one device."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

# As in test_train_kill: one process imports torch, every other is a copy of it.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "pytest",
        "transformers.models.bert.modeling_bert",
        "transformers.models.llama.modeling_llama",
        "transformers.models.t5.modeling_t5",
    ]
)
PATIENCE = 60.0


def train_alone(name: str, folder: Path, **more: Any) -> None:
    """One process trains scenario `name`, here."""
    from train_scenarios import train

    train(name, folder, **more)


def train_together(names: list[str], folder: Path, count: int = 2, **more: Any) -> None:
    """`count` processes train the scenarios one after another, each in a folder of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)
    processes = [FORKS.Process(target=_train, args=(rank, count, names, folder, more)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * count


def _train(rank: int, count: int, names: list[str], folder: Path, more: dict[str, Any]) -> None:
    import os
    from dataclasses import replace

    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    from train_scenarios import train

    from tunesmith.train.weights.ranks import joined

    shard = more.pop("shard", False)
    with joined(rank, count, folder / "meeting", PATIENCE) as joined_ranks:
        ranks = replace(joined_ranks, shard=shard)
        for name in names:
            train(name, folder / name, ranks=ranks, **more)


def wait_in_vain(folder: Path, patience: float) -> float:
    """The second of two processes hangs; returns the seconds after which the first has ended, in failure."""
    folder.mkdir(parents=True, exist_ok=True)
    first, second = (FORKS.Process(target=_hang, args=(rank, folder, patience)) for rank in (0, 1))
    first.start()
    second.start()
    while not (folder / "met").exists():
        time.sleep(0.01)
    began = time.monotonic()
    first.join(60)
    took = time.monotonic() - began
    second.kill()
    second.join()
    assert first.exitcode == 1
    return took


def _hang(rank: int, folder: Path, patience: float) -> None:
    import os

    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    from tunesmith.train.weights.ranks import joined

    with joined(rank, 2, folder / "meeting", patience) as ranks:
        (folder / "met").touch()
        if rank:
            time.sleep(120)
        ranks.told(None)


def leave(folder: Path, rank: int, steps: list[Any], weights: dict[str, Any]) -> None:
    """Writes what a process came to."""
    folder.mkdir(parents=True, exist_ok=True)
    said = [
        {name: value for name, value in vars(step).items() if name not in ("seconds", "metrics", "notes")}
        | {"metrics": dict(step.metrics)}
        for step in steps
    ]
    (folder / f"steps-{rank}.json").write_text(json.dumps(said))
    save_file(weights, folder / f"weights-{rank}.safetensors")


def steps(folder: Path, rank: int = 0) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = json.loads((folder / f"steps-{rank}.json").read_text())
    return said


def weights(folder: Path, rank: int = 0) -> dict[str, Any]:
    return load_file(folder / f"weights-{rank}.safetensors")
