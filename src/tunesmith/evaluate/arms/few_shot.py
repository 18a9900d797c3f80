"""A model that is shown training rows before each question, and learns nothing from them for good."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunesmith.evaluate.arms import Asking, Bench, Wordy
from tunesmith.prompts.examples import selection
from tunesmith.records import Prediction


class FewShot(Wordy):
    """The base, shown some training rows with their answers before each question."""

    examples: int = Field(default=4, ge=1, le=64)
    """Rows shown; fewer where they do not fit the model's context."""
    choose: Literal["random", "similar", "diverse"] = "similar"
    """Which: any, label by label; those whose words are most like the question's; or such as differ most."""
    seed: int = 0
    """Another seed draws others, where they are drawn."""

    def answer(self, bench: Bench) -> list[Prediction]:
        shots = selection(self.choose, bench.train, self.examples, self.seed)
        return bench.ask(self.model, bench.rows, Asking(shots=shots))
