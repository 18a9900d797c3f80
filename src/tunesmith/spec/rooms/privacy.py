"""The section of a spec that says how a model's privacy is attacked."""

from __future__ import annotations

from pydantic import Field

from tunesmith.spec.quantity import Share
from tunesmith.spec.section import Section


class Privacy(Section):
    """What attacks on the privacy of the training rows are tried on the tuned model."""

    rows: int = Field(default=1000, ge=1)
    """At most so many training rows, and as many test rows, drawn by the split's seed."""
    min_k: Share = Share(0.2, "")
    """The share of a row's tokens, the least likely ones, that the attack `min_k` goes by."""
    alternatives: int = Field(default=1000, ge=10, le=100_000)
    """Secrets that a canary is ranked among; its exposure is at most log2 of one more."""
    shown: int = Field(default=16, ge=1)
    """Tokens of a training row that the model is shown before it is to recite."""
    recited: int = Field(default=16, ge=4)
    """Tokens that it must then say word for word."""
