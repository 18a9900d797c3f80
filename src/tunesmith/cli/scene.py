"""What there is to see of a run: its stages, figures and last words, taken from its events."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tunesmith.events import Tail
from tunesmith.report.evidence import number

MOST = 2000
"""Steps of a curve that are drawn."""


@dataclass
class StageState:
    """How far a stage is."""

    status: str = "waiting"
    """`waiting start done skipped borrowed`"""
    began: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True)
class Goal:
    """One target, as a spec's JSON has it."""

    metric: str
    sign: str
    bound: float
    shown: str
    slice: str = ""

    def reached(self, value: float) -> bool:
        """Whether a figure would do, its uncertainty left out."""
        return value >= self.bound if self.sign == "≥" else value <= self.bound


class Scene:
    """A run as it has told of itself so far; held still by `still` while it is drawn.

    Args:
        name: the run, or the spec's name before it has a number.
        num_stages: training stages of the spec.
        goals: what the tuned model must reach.
    """

    def __init__(self, name: str, num_stages: int = 1, goals: tuple[Goal, ...] = ()) -> None:
        self.name, self.goals = name, goals
        self._num_stages = num_stages
        self.still = threading.RLock()
        self.decision = ""
        self._clear()

    def _clear(self) -> None:
        names = ["data", *(f"train-{place + 1}" for place in range(self._num_stages)), "evaluate", "report"]
        self.stages = {name: StageState() for name in names}
        self.steps: dict[str, dict[int, dict[str, Any]]] = {}
        self.checks: dict[str, dict[int, dict[str, Any]]] = {}
        self.warnings: list[dict[str, Any]] = []
        self.noted = ""
        self.progress: dict[str, Any] | None = None
        self.at = time.time()

    def take(self, event: dict[str, Any]) -> None:
        """Takes one event. Of two words on a step the last counts; one that lacks what it is about is passed over."""
        with self.still:
            self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        kind, self.at = event["kind"], float(event.get("at") or time.time())
        if kind == "run":
            path = Path(event["path"])
            self.name = f"{path.parent.name}/{path.name}"
            self._clear()
            for told in Tail(path / "events.jsonl").new():
                self.take(told)
        elif kind == "stage" and "stage" in event:
            self._stage(event)
        elif kind in ("step", "validation") and isinstance(event.get("step"), int):
            kept = self.steps if kind == "step" else self.checks
            kept.setdefault(str(event.get("stage", "train")), {})[event["step"]] = event
        elif kind in ("warning", "diagnosis") and "text" in event:
            self.warnings.append(event)
        elif kind == "note" and "text" in event:
            self.noted = str(event["text"])
        elif kind == "progress":
            self.progress = event

    def _stage(self, event: dict[str, Any]) -> None:
        stage = self.stages.setdefault(str(event["stage"]), StageState())
        stage.status = str(event.get("status", "start"))
        self.progress = None
        if stage.status == "start":
            stage.began, stage.seconds = self.at, None
        elif event.get("seconds") is not None:
            stage.seconds = float(event["seconds"])

    @property
    def current(self) -> str | None:
        """The stage that goes on now."""
        return next((name for name, stage in reversed(self.stages.items()) if stage.status == "start"), None)

    @property
    def shown(self) -> str | None:
        """The training stage whose curves are shown: the last one that told of a step."""
        return next(reversed(self.steps), None)

    @property
    def last(self) -> dict[str, Any]:
        """The last training step; empty before the first."""
        steps = self.steps.get(self.shown or "", {})
        return steps[max(steps)] if steps else {}

    def curve(self, figure: str) -> list[tuple[float, float]]:
        """(step, value) of a figure of the training steps, in order; of very many steps some."""
        steps = self.steps.get(self.shown or "", {})
        order = sorted(steps)
        # As many as a wide screen can tell apart, the last always among them.
        told = [(step, steps[step].get(figure)) for step in reversed(order[:: -math.ceil(len(order) / MOST) or -1])]
        return [(float(step), number(value)) for step, value in told if value is not None]

    def checked(self) -> dict[str, list[tuple[float, float]]]:
        """(step, value) of each validation figure, in order."""
        found: dict[str, list[tuple[float, float]]] = {}
        checks = self.checks.get(self.shown or "", {})
        for step in sorted(checks):
            for name, value in (checks[step].get("figures") or {}).items():
                found.setdefault(name, []).append((float(step), number(value)))
        return found

    def best(self) -> int | None:
        """The step whose checkpoint is the best so far."""
        checks = self.checks.get(self.shown or "", {})
        return max((step for step, check in checks.items() if check.get("best")), default=None)


def scene_of(name: str, spec: dict[str, Any]) -> Scene:
    """The scene of a run with this spec, as `model_dump(mode="json")` or `spec.json` has it."""
    from tunesmith.metrics import Metric
    from tunesmith.part import METRICS
    from tunesmith.spec.quantity import Bound

    goals = []
    for target in spec["goal"]["targets"]:
        sign, written = ("≥", target["at_least"]) if target["at_least"] is not None else ("≤", target["at_most"])
        where = ", ".join(f"{column}: {value}" for column, value in target["slice"].items())
        bound = Bound.parse(written)
        goals.append(Goal(cast("Metric", METRICS.make(target["metric"])).name, sign, bound.value, str(bound), where))
    return Scene(name, len(spec["train"]), tuple(goals))


def finite(value: Any) -> float | None:
    """A figure that can be shown; None where there is none."""
    read = number(value)
    return read if math.isfinite(read) else None
