"""Models trained beside the one that ships: a fold tests other rows, a seed draws another order and fresh weights.

Each is a run of its own, whose predictions the whole one takes over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from tunesmith.evaluate.caveats.contamination import FILE, Contamination, read_contamination, together
from tunesmith.evaluate.predict.stored import read_predictions
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.metrics import Metric
from tunesmith.records import Prediction
from tunesmith.runs import Run, link_file
from tunesmith.spec.load import load

LONGEST = 56
"""Letters of a run's name that the names of its repeats begin with."""

Kind = Literal["fold", "seed"]
Carry = Callable[[Request, Narrator, Callable[[], bool]], Run]
"""Carries a request to the end of its evaluation."""


@dataclass(frozen=True)
class Repeat:
    """A fold or another seed, and what is asked of its run."""

    kind: Kind
    number: int
    """From 1; the first seed is that of the model that ships."""
    asked: Request

    @property
    def name(self) -> str:
        """What its stage and its run are called."""
        return f"{self.kind}-{self.number}"


def repeats_of(request: Request, changes: Sequence[str]) -> list[Repeat]:
    """The runs that a request needs beside its own; none where nothing is repeated."""
    folds, seeds = request.spec.evaluate.folds or 0, request.spec.evaluate.seeds or 1
    found = [
        _repeat(request, changes, "fold", number, ["evaluate.folds=null", f"data.split.fold={number} of {folds}"])
        for number in range(1, folds + 1)
    ]
    for number in range(2, seeds + 1):
        alone = ["evaluate.seeds=null", "evaluate.arms=[tuned]", "goal.targets=[]", *_other_seeds(request, number - 1)]
        found.append(_repeat(request, changes, "seed", number, [*alone, *_unjudged(request)]))
    return found


def _repeat(request: Request, changes: Sequence[str], kind: Kind, number: int, own: list[str]) -> Repeat:
    name = f"name={request.spec.name[:LONGEST]}.{kind}-{number}"
    spec, written = load(request.written.path, [*changes, *own, "track=[]", name])
    return Repeat(kind, number, replace(request, spec=spec, written=written))


def _unjudged(request: Request) -> list[str]:
    """What judges say and what was forgotten is measured of the model that ships, and of no other seed."""
    listed = cast(Sequence[Metric], request.spec.evaluate.metrics or ())
    left = [metric.settings() for metric in listed if "measured" not in metric.needs]
    metrics = [] if len(left) == len(listed) else [f"evaluate.metrics={json.dumps(left or None)}"]
    rooms = [f"evaluate.{room}=null" for room in ("retention", "robustness", "explain")]
    return ["evaluate.judges=[]", *rooms, *metrics]


def _other_seeds(request: Request, further: int) -> list[str]:
    """The seed of every stage, moved on."""
    listed = isinstance(request.written.tree.get("train"), list)
    return [
        f"train.{number}.seed={stage.seed + further}" if listed else f"train.seed={stage.seed + further}"
        for number, stage in enumerate(request.spec.train)
    ]


def folder_of(run: Run, kind: Kind, number: int) -> Path:
    """Where a run keeps what one of its repeats predicted."""
    return run / f"{kind}s" / str(number)


def do_repeat(run: Run, repeat: Repeat, carry: Carry, narrator: Narrator, stop: Callable[[], bool]) -> dict[str, Any]:
    """Trains and evaluates a fold or seed, and takes over its predictions and which of their rows it had learned."""
    made = carry(repeat.asked, narrator.within(f"{repeat.kind} {repeat.number}"), stop)
    for path in (*sorted((made / "evaluation").glob("predictions-*.parquet")), made / "evaluation" / FILE):
        link_file(path, folder_of(run, repeat.kind, repeat.number) / path.name)
    return {"run": str(made)}


def fold_predictions(run: Run, count: int, arm: str) -> list[list[Prediction]]:
    """What each fold's arm said of the rows it was tested on."""
    return [_predicted(run, "fold", number, arm) for number in range(1, count + 1)]


def fold_contamination(run: Run, count: int) -> Contamination:
    """The rows that the models of the folds were tested on and had learned; of a fold that does not tell, that nobody
    looked."""
    found = {number: read_contamination(folder_of(run, "fold", number)) for number in range(1, count + 1)}
    return together([part or Contamination(0, 0, unsought=[f"fold {number}"]) for number, part in found.items()])


def seed_predictions(run: Run, count: int) -> list[list[Prediction]]:
    """What the tuned models of the further seeds said of the test rows."""
    return [_predicted(run, "seed", number, "tuned") for number in range(2, count + 1)]


def _predicted(run: Run, kind: Kind, number: int, arm: str) -> list[Prediction]:
    return read_predictions(folder_of(run, kind, number) / f"predictions-{arm}.parquet")
