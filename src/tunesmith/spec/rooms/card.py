"""The section of a spec that says what only its author knows and the model card should say."""

from __future__ import annotations

from pydantic import Field

from tunesmith.spec.section import Section


class Card(Section):
    """What the model card says beside what was measured."""

    intended_use: str | None = Field(default=None, min_length=1)
    """Who is to use the model for what; the card tells the task otherwise."""
    out_of_scope: str | None = Field(default=None, min_length=1)
    """What the model must not be used for."""
    licences: dict[str, str] = Field(default_factory=dict)
    """The licence of each source, by its path in `data.sources`; the card says where none is known."""
    base_tokens: float | None = Field(default=None, gt=0)
    """How many tokens the base was pre-trained on, such as 15e12; the card tells this run's share of that compute."""
