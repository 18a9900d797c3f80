"""Watchers: what looks on during training, may say something about it, and may stop it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

from tunesmith.part import METRICS, Part
from tunesmith.train.step import Step


class Watcher(Part):
    """Looks at every step. What it remembers is kept in checkpoints."""

    @property
    def figure(self) -> str | None:
        """The validation figure that, in its eyes, makes a checkpoint the best; None when it has no say."""
        return None

    @abstractmethod
    def start(self) -> dict[str, Any]:
        """Its memory before the first step: a dict of plain JSON values."""

    @abstractmethod
    def after(self, step: Step, memory: dict[str, Any]) -> str | None:
        """Looks at a finished step and changes its memory. Returns why training should stop, or None."""

    def notes(self, step: Step, memory: dict[str, Any]) -> list[str]:
        """What it has to say of a step it has looked at, in whole sentences; each once, so it may change its memory."""
        return []

    def remedy(self, memory: dict[str, Any]) -> str | None:
        """What it advises when the next step's loss or gradient is not finite; None where it knows no cause."""
        return None


def better(figure: str) -> Literal["higher", "lower"]:
    """Which way a validation figure improves; metrics say so themselves.

    Raises:
        NotFound: it is neither `loss` nor a metric.
    """
    if figure == "loss":
        return "lower"
    direction: Literal["higher", "lower"] = METRICS.load(figure).better  # type: ignore[attr-defined]
    return direction


def gain(figure: str, now: float, before: float | None) -> float:
    """How much better `now` is than `before`; infinite over nothing, and never positive for NaN."""
    if now != now:
        return float("-inf")
    if before is None:
        return float("inf")
    return now - before if better(figure) == "higher" else before - now
