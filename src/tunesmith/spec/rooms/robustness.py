"""What is asked of a model on rows that were changed: `evaluate.robustness`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tunesmith.part import METRICS, Part
from tunesmith.spec.quantity import Share
from tunesmith.spec.section import Section

Change = Literal["typos", "case", "punctuation", "paraphrase", "distractors", "injection", "out_of_scope"]
"""What becomes of a row: slips of the keyboard, other case, other marks, other words, a sentence about something else,
an order to answer something else; or another question altogether, which the model should not answer."""

TYPOS = Share(0.1, "")
"""Share of a row's words that get a typo where nothing is said."""


class Robustness(Section):
    """Test rows asked once more after a change that leaves the right answer, and questions that have none."""

    kinds: list[Change] = Field(
        default=["typos", "case", "punctuation", "paraphrase", "distractors", "injection"], min_length=1
    )
    """What is changed: typos, case, punctuation, paraphrase, distractors, injection, out_of_scope."""
    rows: int = Field(default=200, ge=10)
    """At most so many test rows are changed in each way, the same ones, drawn by the split's seed."""
    share: Share = TYPOS
    """Share of a row's words that get a typo, at least one."""
    metric: Annotated[Part, METRICS] | None = None
    """What is measured; when left out the first of evaluate.metrics that scores single answers."""
    model: str | None = None
    """Who says rows in other words: a folder, `run:NAME/N` or `https://host/v1#model`; WordNet when left out."""
    questions: str | None = None
    """A text file of questions out of scope, one a line; 40 of everyday life come with Tunesmith."""

    @model_validator(mode="after")
    def _settings_have_an_effect(self) -> Self:
        if twice := sorted({kind for kind in self.kinds if self.kinds.count(kind) > 1}):
            raise ValueError(f"{twice[0]} stands there twice")
        for name, kind in (("model", "paraphrase"), ("questions", "out_of_scope")):
            if getattr(self, name) is not None and kind not in self.kinds:
                raise ValueError(f"{name} is for {kind}; add {kind} to kinds, or leave {name} out")
        if self.share != TYPOS and "typos" not in self.kinds:
            raise ValueError("share is for typos; add typos to kinds, or leave share out")
        if self.model in ("base", "tuned"):
            raise ValueError(f"{self.model} is what is measured; name another model to say rows in other words")
        if not 0 < self.share.value <= 1:
            raise ValueError(f"share must be above 0% and at most 100%, not {self.share}")
        return self
