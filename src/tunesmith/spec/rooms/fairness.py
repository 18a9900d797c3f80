"""The section `evaluate.fairness`: whom the tuned model is compared across, and how."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from tunesmith.part import METRICS, Part
from tunesmith.spec.section import Section


class Fairness(Section):
    """What is asked of the tuned model about groups of people."""

    groups: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Columns whose values are groups, such as `gender`."""
    terms: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Kinds of identity terms to look for in the questions, such as `religion`; see the step `identity_terms`."""
    intersections: bool = True
    """Whether groups of two kinds are crossed, such as old women."""
    favourable: str | None = None
    """The label that is good to get; every label is looked at when left out, of two the rarer one."""
    min_rows: int = Field(default=30, ge=2)
    """Groups with fewer rows are said to be too small, and are not tested."""
    counterfactuals: int = Field(default=500, ge=0)
    """So many test rows at the most are asked again with their identity terms swapped; 0: none."""
    swaps: str | None = None
    """A YAML file with pairs of terms to swap, as in the step `counterfactual`; those that come with it if left out."""
    answers: list[Annotated[Part, METRICS]] = Field(default_factory=list)
    """What of written answers a swap may change beside length and refusals: `toxicity`, `sentiment` and others that
    score each answer by itself."""
    suites: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Files or folders of stereotype suites: CrowS-Pairs, StereoSet, WinoBias, BBQ, as they are published."""

    @model_validator(mode="after")
    def _something_to_compare(self) -> Self:
        if not (self.groups or self.terms or self.suites):
            raise ValueError("say who is compared: columns in `groups`, kinds of identity in `terms`, or `suites`")
        return self
