"""The folds of a cross-validation: each is a run of its own, whose predictions the whole one is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.evaluate.stored import read_predictions
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.records import Prediction
from tunesmith.runs import Run, link_file
from tunesmith.spec.load import load

LONGEST = 56
"""Letters of a run's name that the names of its folds begin with."""

Carry = Callable[[Request, Narrator, Callable[[], bool]], Run]
"""Carries a request to the end of its evaluation."""


def fold_requests(request: Request, changes: Sequence[str]) -> list[Request]:
    """What each fold is asked for: the spec as it stands, but for what is tested. None where nothing is folded."""
    count = request.spec.evaluate.folds or 0
    return [
        _asked(request, [*changes, "evaluate.folds=null", f"data.split.fold={number} of {count}", "track=[]"], number)
        for number in range(1, count + 1)
    ]


def _asked(request: Request, changes: list[str], number: int) -> Request:
    spec, written = load(request.written.path, [*changes, f"name={request.spec.name[:LONGEST]}.fold-{number}"])
    return replace(request, spec=spec, written=written)


def folder_of(run: Run, number: int) -> Path:
    """Where a run keeps what fold `number`, from 1, predicted."""
    return run / "folds" / str(number)


def do_fold(
    run: Run, number: int, asked: Request, carry: Carry, narrator: Narrator, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Trains and evaluates a fold, and takes its predictions over."""
    made = carry(asked, narrator.within(f"fold {number}"), stop)
    for path in sorted((made / "evaluation").glob("predictions-*.parquet")):
        link_file(path, folder_of(run, number) / path.name)
    return {"run": str(made)}


def fold_predictions(run: Run, count: int, arm: str) -> list[list[Prediction]]:
    """What each fold's arm said of the rows it was tested on."""
    return [read_predictions(folder_of(run, number) / f"predictions-{arm}.parquet") for number in range(1, count + 1)]
