"""A search whose trainings are formulas, so that it takes seconds; and a job that does one in any process."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tunesmith.errors import Interrupted, NonFinite
from tunesmith.runs import read_json, write_json
from tunesmith.scale.pool import Here, Pool
from tunesmith.search.conduct import Conductor, Look, Shelf, Training, carry
from tunesmith.search.sampling import Asked, settled
from tunesmith.search.study import Aim, Dimension, Study, Trial
from tunesmith.spec.rooms.search import Search

LR = Dimension("train.optimizer.lr", "float", 1e-5, 1e-1, log=True)
RANK = Dimension("train.adapter.rank", "int", 4, 16, step=4)
KIND = Dimension("train.adapter", "choice", choices=("full", {"kind": "lora"}))
SHARE = Dimension("train.regularize.dropout", "float", 0.0, 0.3)
ACCURACY = Aim("accuracy", "maximize")
FIRST = {"train.optimizer.lr": 3e-4, "train.adapter.rank": 8, "train.regularize.dropout": 0.0}


def asked(dimensions=(LR, RANK, SHARE), first=FIRST, aims=(ACCURACY,), **rules) -> Asked:
    given = {"pruner": "asha", "trials": 12, "looks": 9, **rules}
    search = settled(Search.model_validate(given), len(dimensions))
    study = Study("fake", 1, aims, tuple(dimensions), search.sampler, search.pruner, search.trials)
    return Asked(study, search, first)


def score(params, look: int, looks: int = 9) -> float:
    """Best at a learning rate of 1e-3 and with a small dropout; learned in ninths."""
    far = abs(math.log10(params.get("train.optimizer.lr") or 1e-3) + 3) / 2
    dropout, rank = params.get("train.regularize.dropout") or 0.0, params.get("train.adapter.rank") or 0
    best = 0.95 - 0.3 * min(far, 1) - 0.2 * dropout + rank / 1000
    return best * (1 - 0.6 * (1 - look / looks) ** 2)


def training(params, folder: Path, pause: float = 0.0, stop=lambda: False) -> Training:
    """A training of 90 steps, measured at every tenth; it keeps its place every fifth, as a checkpoint would."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "checkpoints" / "step.json"
    done = read_json(place) if place.exists() else 0
    for step in range(done + 1, 91):
        if stop():
            raise Interrupted("stopped")
        time.sleep(pause)
        with (folder / "steps.log").open("a") as log:
            log.write(f"{step}\n")
        if params["train.optimizer.lr"] > 0.05 and step == 20:
            raise NonFinite("the loss of step 20 is not finite")
        if step % 10 == 0:
            yield Look(step, score(params, step // 10), 0.0, step * 100)
        if step % 5 == 0:
            write_json(place, step)
    return (score(params, 9),)


@dataclass(frozen=True)
class Told:
    """What travels to a process."""

    asked: Asked
    folder: Path
    trial: Trial
    pause: float
    parent: int


def job(told: Told) -> None:
    shelf = Shelf(told.folder)
    gone = lambda: os.getppid() != told.parent  # noqa: E731
    steps = training(told.trial.params, shelf.of(told.trial.number), told.pause, gone)
    carry(told.asked, told.trial, shelf.ended(), shelf, steps)


def conducted(search: Asked, folder: Path, pool: Pool | None = None, pause: float = 0.0, told=None) -> Study:
    """The whole study."""
    where = {"parent": os.getppid() if pool is None else os.getpid()}
    conductor = Conductor(
        search,
        Shelf(folder),
        pool or Here(),
        job,
        lambda trial: Told(search, folder, trial, pause, **where),
        told or (lambda study, trial, said: None),
        lambda: False,
        lambda: None,
    )
    return conductor.conduct()


def timeless(study: Study) -> Study:
    """Without what no two runs have in common."""
    return replace(study, trials=tuple(replace(trial, seconds=0.0) for trial in study.trials))
