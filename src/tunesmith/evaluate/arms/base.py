"""The base as it is: asked like the tuned model, before it learned anything."""

from __future__ import annotations

from tunesmith.evaluate.arms import Arm, Bench
from tunesmith.records import Prediction


class Base(Arm):
    """The model that was started from, asked as the spec's `prompt` says."""

    @property
    def asks(self) -> str:
        return "base"

    def answer(self, bench: Bench) -> list[Prediction]:
        return bench.ask("base", bench.rows)
