"""Early stopping on a validation figure."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tunesmith.errors import GateFailed
from tunesmith.train.step import Step
from tunesmith.train.watchers import Watcher, gain


class EarlyStop(Watcher):
    """Stops when a validation figure has not improved for some validations in a row."""

    metric: str = "loss"
    """The figure watched: `loss`, or a metric of the task."""
    patience: int = Field(default=3, ge=1)
    """How many validations in a row may pass without gain."""
    min_gain: float = Field(default=0.0, ge=0)
    """A gain must be larger than this to count."""

    not_before: float = Field(default=0.3, ge=0, le=1)
    """The share of the training done in any case: early figures are noise, and a falling rate brings late gains."""

    @property
    def figure(self) -> str:
        return self.metric

    def start(self) -> dict[str, Any]:
        return {"best": None, "waited": 0}

    def after(self, step: Step, memory: dict[str, Any]) -> str | None:
        if step.validation is None:
            return None
        if self.metric not in step.validation:
            raise GateFailed(
                f"early_stop watches {self.metric!r}, which is not measured on the validation rows",
                where="train.watch",
                fix=f"watch one of: {', '.join(sorted(step.validation))}",
            )
        value = step.validation[self.metric]
        if gain(self.metric, value, memory["best"]) > self.min_gain:
            memory.update(best=value, waited=0)
            return None
        if step.number < self.not_before * step.total:
            return None
        memory["waited"] += 1
        if memory["waited"] < self.patience:
            return None
        best = "a number" if memory["best"] is None else f"{memory['best']:.4g}"
        return f"validation {self.metric} has not improved on {best} for {self.patience} validations"
