"""What a diagnosis remembers of a training: bounded, plain JSON values, however long the training is.

The course of the loss is kept in at most 64 stretches of equal length; when they are full, neighbours are
joined and each is twice as long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from tunesmith.train.step import Step
from tunesmith.train.watchers import gain

WINDOW = 10
"""Steps whose median stands for the loss or the gradient at a moment: a median does not mind a spike."""
STRETCHES = 64
CHECKS = 6
"""Validations remembered, beside the best of each figure."""


def fresh() -> dict[str, Any]:
    """A memory before the first step."""
    return {
        "first": [],
        "last": [],
        "first_norms": [],
        "last_norms": [],
        "lowest": None,
        "highest": None,
        "peak_lr": 0.0,
        "length": 1,
        "stretches": [],
        "since": [0, 0.0],
        "checks": [],
        "num_checks": 0,
        "best": {},
        "said": [],
    }


def remember(memory: dict[str, Any], step: Step) -> None:
    """Takes in a finished step."""
    for name, value in (("", step.loss), ("_norms", step.grad_norm)):
        first, last = memory[f"first{name}"], memory[f"last{name}"]
        if len(first) < WINDOW:
            first.append(value)
        memory[f"last{name}"] = [*last[-WINDOW + 1 :], value]
    now = median(memory["last"])
    if step.number >= WINDOW:
        memory["lowest"] = now if memory["lowest"] is None else min(now, memory["lowest"])
    # The median of few: what a rate far too high does to the loss may be over within the first steps.
    if step.number >= 3:
        memory["highest"] = now if memory["highest"] is None else max(now, memory["highest"])
    memory["peak_lr"] = max(memory["peak_lr"], step.lr)
    _add_to_stretches(memory, step)
    memory["since"] = [memory["since"][0] + 1, memory["since"][1] + step.loss]
    if step.validation is not None:
        _add_check(memory, step)


def _add_to_stretches(memory: dict[str, Any], step: Step) -> None:
    stretches = memory["stretches"]
    if not stretches or stretches[-1][0] == memory["length"]:
        if len(stretches) == STRETCHES:
            stretches[:] = [[a + b for a, b in zip(*pair, strict=True)] for pair in _pairs(stretches)]
            memory["length"] *= 2
        stretches.append([0, 0.0, 0.0, 0.0])
    for place, value in enumerate((1, step.loss, step.loss**2, step.lr)):
        stretches[-1][place] += value


def _pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(values[::2], values[1::2], strict=True))


def _add_check(memory: dict[str, Any], step: Step) -> None:
    count, total = memory["since"]
    figures = {name: value for name, value in (step.validation or {}).items() if math.isfinite(value)}
    check = {"step": step.number, "epoch": step.epoch, "train": total / count, "figures": figures}
    memory["checks"] = [*memory["checks"][-CHECKS + 1 :], check]
    memory["num_checks"] += 1
    memory["since"] = [0, 0.0]
    for name, value in figures.items():
        before = memory["best"].get(name)
        if before is None or gain(name, value, before["value"]) > 0:
            memory["best"][name] = {"value": value, "check": memory["num_checks"], **check}


@dataclass(frozen=True)
class Course:
    """The loss over a part of the training.

    Args:
        steps: how many.
        mean: of the loss.
        spread: the standard deviation of single steps.
        moved: the learning rates of its steps, summed.
    """

    steps: int
    mean: float
    spread: float
    moved: float

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.spread / math.sqrt(self.steps)


def courses(memory: dict[str, Any], shares: Sequence[float]) -> list[Course] | None:
    """The training so far cut at these shares of its steps; None while a part would have fewer than five steps."""
    stretches = memory["stretches"]
    cuts = [round(share * len(stretches)) for share in (0.0, *shares, 1.0)]
    parts = [stretches[low:high] for low, high in pairwise(cuts)]
    sums = [[sum(column) for column in zip(*part, strict=True)] for part in parts]
    if any(not total or total[0] < 5 for total in sums):
        return None
    return [_course(*total) for total in sums]


def _course(steps: int, total: float, squares: float, moved: float) -> Course:
    mean = total / steps
    variance = max(squares / steps - mean**2, 0.0) * steps / (steps - 1)
    return Course(steps, mean, math.sqrt(variance), moved)
