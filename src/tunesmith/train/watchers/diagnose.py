"""Says in words what is wrong with a training while it runs."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from tunesmith.train.step import Step
from tunesmith.train.watchers import Watcher
from tunesmith.train.watchers._history import fresh, remember
from tunesmith.train.watchers._symptoms import SYMPTOMS, remedy

Symptom = Literal[
    "leak",
    "divergence",
    "exploding_gradients",
    "high_learning_rate",
    "nothing_learned",
    "low_learning_rate",
    "plateau",
    "overfitting",
    "data_exhausted",
    "underfitting",
]


class Diagnose(Watcher):
    """Names what is wrong, the numbers it rests on and the remedy, each symptom once; never stops anything."""

    ignore: list[Symptom] = Field(default_factory=list)
    """Symptoms not to be told of."""

    def start(self) -> dict[str, Any]:
        return fresh()

    def after(self, step: Step, memory: dict[str, Any]) -> str | None:
        if math.isfinite(step.loss) and math.isfinite(step.grad_norm):
            remember(memory, step)
        return None

    def notes(self, step: Step, memory: dict[str, Any]) -> list[str]:
        found = []
        for name, tell in SYMPTOMS.items():
            if name in self.ignore or name in memory["said"]:
                continue
            if (said := tell(memory, step)) is not None:
                memory["said"].append(name)
                found.append(said)
        return found

    def remedy(self, memory: dict[str, Any]) -> str | None:
        return remedy(memory)
