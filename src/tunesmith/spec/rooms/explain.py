"""The section of a spec that asks what a tuned model's answers rest on."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from tunesmith.spec.quantity import Share
from tunesmith.spec.section import Section


class Explain(Section):
    """What the tuned model's answers rest on: words, layers, training rows."""

    rows: int = Field(default=300, ge=10)
    """At most so many test rows are looked at, drawn by the split's seed."""
    train_rows: int = Field(default=1000, ge=10)
    """At most so many training rows that answers are traced back to and the surrogate learns from, drawn likewise."""
    shown: int = Field(default=6, ge=0, le=50)
    """Test rows that are explained token by token, half of them answered wrong where there are so many."""
    words: int = Field(default=50, ge=1, le=1000)
    """So many words at the most are left out and put in, in turn: those that go most with one label in the training."""
    hangs: Share = Share(0.5, "")
    """A word is named where surely more than this share of right answers change without it."""
    turns: Share = Share(0.8, "")
    """A word is named, too, where surely more than this share of right answers of other labels turn to its own once it
    is put in front."""
    probes: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Columns that are looked for in the hidden states, beside the label."""

    @model_validator(mode="after")
    def _shares(self) -> Self:
        for name in ("hangs", "turns"):
            if not 0 < getattr(self, name).value < 1:
                raise ValueError(f"{name} must be above 0% and below 100%, not {getattr(self, name)}")
        return self
