"""The answer that takes no model."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.evaluate.arms import Arm, Bench
from tunesmith.evaluate.predict import majority
from tunesmith.records import Prediction


class Majority(Arm):
    """The commonest label (or set of labels) of the training rows."""

    of_labels: ClassVar[bool] = True

    def answer(self, bench: Bench) -> list[Prediction]:
        return majority(bench.train, bench.rows)
