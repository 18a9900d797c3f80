"""Any other model: an earlier run, a folder, one of the hub, or one behind an endpoint."""

from __future__ import annotations

from pydantic import Field

from tunesmith.evaluate.arms import Bench, Named
from tunesmith.records import Prediction


class Model(Named):
    """Another model, asked as the spec's `prompt` says, or, where it has a head of its own, as that was trained."""

    model: str = Field(examples=["https://api.example.org/v1#small"])
    """A folder, a hub id, `run:NAME/N`, or an OpenAI-compatible endpoint, `https://host/v1#model`."""

    @property
    def asks(self) -> str:
        return self.model

    def answer(self, bench: Bench) -> list[Prediction]:
        return bench.ask(self.model, bench.rows)
