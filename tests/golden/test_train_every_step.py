"""A run of 40 steps goes on bit for bit from every step, and from inside every accumulation window.

From the checkpoint of each step a fresh model takes one more step, and the checkpoint it writes must be the one
the uninterrupted run wrote then: weights, optimizer, random numbers, position and watchers' memories. So what
follows is equal too, wherever the run is cut and however often.
"""

from __future__ import annotations

import json
import random
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from train_tiny import causal, encoder, rows, stage, train, weights_of

from tunesmith.errors import Interrupted
from tunesmith.models.adapters.lora import Lora
from tunesmith.models.model import Model
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.loop import fit
from tunesmith.train.objectives import Objective
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.watchers.diagnose import Diagnose
from tunesmith.train.watchers.early_stop import EarlyStop

EXAMPLES, VALIDATION = rows(14), rows(5, seed=1)
STEPS, AN_EPOCH, MICROS = 40, 4, 2
SETTINGS = stage(
    duration="10 epochs", batch="4 rows", micro_batch="2 rows", validate_every="5 steps",
    watch=[EarlyStop(patience=99), Diagnose()],
)  # fmt: skip


class Drawing(Sft):
    """As an objective of somebody's own might, with Python's and numpy's random numbers."""

    def loss(self, model: Model, batch: Any) -> Any:
        found = super().loss(model, batch)
        return replace(found, sum=found.sum * (1 + 0.1 * random.random() * float(np.random.rand())))


def full() -> tuple[Model, Objective]:
    return causal(dropout=0.2), Drawing()


def lora() -> tuple[Model, Objective]:
    model = causal()
    Lora(rank=2, dropout=0.2).attach(model, seed=0)
    return model, Sft()


def classify() -> tuple[Model, Objective]:
    return encoder("classify", dropout=0.2), Classify()


JOBS = {"full": full, "lora": lora, "classify": classify}


def go(folder: Path, job: str, steps: int | None = None) -> tuple[Model, list[Any]]:
    """Begins or goes on, as a new process would: with other random numbers."""
    torch.manual_seed(999)
    model, objective = JOBS[job]()
    done = train(folder, model, EXAMPLES, objective, train=SETTINGS, validation=VALIDATION, save_every=0.0, steps=steps)
    return model, done


def contents(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    state = json.loads((folder / "state.json").read_text())
    state["position"].pop("seconds")
    return load_file(folder / "tensors.safetensors"), state


def figures(step: Any) -> tuple[Any, ...]:
    return step.number, step.loss, step.grad_norm, step.lr, step.validation, step.best, step.notes


def whole(folder: Path, job: str) -> tuple[Model, list[Any]]:
    """The uninterrupted run, each of its checkpoints kept in `kept`."""
    model, objective = JOBS[job]()
    checkpoints = Checkpoints(folder, save_every=0.0)
    done = []
    for step in fit(model, EXAMPLES, objective, train=SETTINGS, checkpoints=checkpoints, validation=VALIDATION):
        if done:
            keep(folder, done[-1].number)
        done.append(step)
    keep(folder, done[-1].number)
    return model, done


def keep(folder: Path, step: int) -> None:
    for found in (folder / f"step-{step:08d}", *folder.glob("best-*")):
        shutil.copytree(found, folder / "kept" / str(step) / found.name)


@pytest.mark.parametrize("job", JOBS)
def test_from_every_step_the_next_is_the_same(tmp_path: Path, job: str) -> None:
    reference, steps = whole(tmp_path / "whole", job)
    kept = tmp_path / "whole" / "kept"
    assert [step.number for step in steps] == list(range(1, STEPS + 1))
    for number in range(1, STEPS):
        folder = kept / str(number)
        _, (step,) = go(folder, job, steps=1)
        assert figures(step) == figures(steps[number]), f"after step {number}"
        name = f"step-{number + 1:08d}"
        (found, state), (expected, expected_state) = contents(folder / name), contents(kept / str(number + 1) / name)
        assert state == expected_state, f"after step {number}"
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected), f"after step {number}"
    # A run cut at both ends of an epoch and in the middle of one, and then left alone.
    cut = tmp_path / "cut"
    done = [step for steps_more in (AN_EPOCH, AN_EPOCH - 1, 3, None) for step in go(cut, job, steps_more)[1]]
    assert [figures(step) for step in done] == [figures(step) for step in steps]
    model, nothing = go(cut, job)
    assert nothing == []
    assert all(torch.equal(weight, weights_of(model)[name]) for name, weight in weights_of(reference).items())


@pytest.mark.parametrize("job", [pytest.param(job, marks=[] if job == "lora" else [pytest.mark.slow]) for job in JOBS])
def test_broken_off_inside_a_window_the_step_is_taken_again(
    tmp_path: Path, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a step had done before it was broken off leaves no trace: gradients, random numbers, the order."""
    _, steps = whole(tmp_path / "whole", job)
    kind = type(JOBS[job]()[1])
    sound = kind.loss
    done: list[Any] = []
    left = 0

    def torn(self: Any, model: Model, batch: Any) -> Any:
        nonlocal left
        left -= model.module.training
        if left == 0:
            raise KeyboardInterrupt
        return sound(self, model, batch)

    monkeypatch.setattr(kind, "loss", torn)
    for attempt in range(3 * STEPS):
        model, objective = JOBS[job]()
        left = 1 + (2 + attempt % 3) * MICROS - attempt % 2  # before or between the micro-batches of the third or so
        again = fit(
            model, EXAMPLES, objective, train=SETTINGS, validation=VALIDATION,
            checkpoints=Checkpoints(tmp_path / "torn", save_every=0.0),
        )  # fmt: skip
        with suppress(KeyboardInterrupt):
            done.extend(again)
            break
    # The last step before each break had no time to be saved, if it was not asked for the next one.
    assert {step.number for step in done} == set(range(1, STEPS + 1)) and attempt >= 10
    assert {step.number: figures(step) for step in done} == {step.number: figures(step) for step in steps}


def test_a_stop_between_micro_batches_waits_for_the_step(tmp_path: Path) -> None:
    done: list[Any] = []
    computed: list[int] = []

    class Asking(Sft):
        def loss(self, model: Model, batch: Any) -> Any:
            computed.append(len(done) + 1)
            return super().loss(model, batch)

    run = fit(
        causal(dropout=0.2), EXAMPLES, Asking(), train=SETTINGS, checkpoints=Checkpoints(tmp_path),
        stop=lambda: 6 in computed,
    )  # fmt: skip
    with pytest.raises(Interrupted, match="stopped after step 6"):
        done.extend(run)
    assert len(done) == 6 and done[-1].rows == 4 and computed.count(6) == MICROS
    assert (tmp_path / "step-00000006").is_dir()
