"""A study: what was asked of a search, and what its trials came to. Plain values, written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Value = Any
"""A value of a spec, as JSON has it."""
State = Literal["running", "done", "pruned", "failed"]


@dataclass(frozen=True)
class Aim:
    """One goal of the search."""

    name: str
    """`accuracy`, `loss`, `latency_p95`, `size`."""
    direction: Literal["maximize", "minimize"]
    unit: str = ""
    """`ms`, `MB`, or nothing."""

    def gain(self, now: float, before: float) -> float:
        """How much better `now` is than `before`."""
        return now - before if self.direction == "maximize" else before - now


@dataclass(frozen=True)
class Dimension:
    """One path of the spec that differs between trials."""

    path: str
    """Such as `train.optimizer.lr`."""
    kind: Literal["float", "int", "choice"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Value, ...] = ()
    """JSON values of a choice; empty for a range."""
    why: str = ""
    """`written spec.yaml:12`, or the rule and the numbers it was derived from."""

    def holds(self, value: Value) -> bool:
        """Whether a value lies inside."""
        if self.kind == "choice":
            return value in self.choices
        if self.low is None or self.high is None or isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high and (self.kind == "float" or float(value).is_integer())


@dataclass(frozen=True)
class Trial:
    """One training with values of its own."""

    number: int
    """From 0, the spec as it is."""
    params: dict[str, Value]
    """Path -> value. Those of trial 0 may lie outside of the space, and are None where the spec leaves them open."""
    origin: str
    """What chose the values: `first: the spec as it is`, `drawn at random`, `tpe, from 12 trials`."""
    state: State
    values: tuple[float, ...] = ()
    """One an aim; empty where there is none. Of a pruned trial the first alone, as last seen."""
    course: tuple[tuple[int, float], ...] = ()
    """(optimizer step, score by the first aim), as the training loop measured them."""
    seconds: float = 0.0
    tokens: int = 0
    """Trained on: the compute it took."""
    said: str = ""
    """Why it was pruned or failed; empty otherwise."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Trial:
        """The inverse of `to_json`."""
        course = tuple((int(step), float(score)) for step, score in said["course"])
        return cls(**{**said, "values": tuple(said["values"]), "course": course})


@dataclass(frozen=True)
class Study:
    """What was asked and what came of it."""

    name: str
    number: int
    aims: tuple[Aim, ...]
    dimensions: tuple[Dimension, ...]
    sampler: str
    pruner: str
    wanted: int
    """Trials asked for."""
    trials: tuple[Trial, ...] = ()
    """In the order of their numbers."""

    def __str__(self) -> str:
        return f"{self.name}/{self.number}"

    @property
    def done(self) -> list[Trial]:
        """The trials that were trained to their end."""
        return [trial for trial in self.trials if trial.state == "done"]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Study:
        """The inverse of `to_json`."""
        parts = {
            "aims": tuple(Aim(**aim) for aim in said["aims"]),
            "dimensions": tuple(
                Dimension(**{**dimension, "choices": tuple(dimension["choices"])}) for dimension in said["dimensions"]
            ),
            "trials": tuple(Trial.from_json(trial) for trial in said["trials"]),
        }
        return cls(**{**said, **parts})


def best(study: Study) -> Trial | None:
    """The finished trial that does best by the first aim; the earliest of equals."""
    found: Trial | None = None
    for trial in study.done:
        if found is None or study.aims[0].gain(trial.values[0], found.values[0]) > 0:
            found = trial
    return found


def front(study: Study) -> tuple[int, ...]:
    """Numbers of the finished trials that none is better than in one aim and as good in all: the Pareto front."""

    def beats(one: Trial, other: Trial) -> bool:
        gains = [aim.gain(a, b) for aim, a, b in zip(study.aims, one.values, other.values, strict=True)]
        return min(gains) >= 0 and max(gains) > 0

    return tuple(trial.number for trial in study.done if not any(beats(other, trial) for other in study.done))
