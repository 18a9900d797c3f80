"""The tuned model, which the verdict is about."""

from __future__ import annotations

from tunesmith.evaluate.arms import Arm, Bench
from tunesmith.records import Prediction


class Tuned(Arm):
    """The model that the run trained; it is held against every other arm."""

    def answer(self, bench: Bench) -> list[Prediction]:
        return bench.ask("tuned", bench.rows)
