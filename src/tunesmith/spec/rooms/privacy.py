"""The sections of a spec that say how a model's privacy is attacked, and how it is protected."""

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


class Private(Section):
    """Differentially private training (DP-SGD, arXiv 1607.00133): no single training row shows in the model by much."""

    epsilon: float = Field(gt=0, le=100)
    """How much one row may show: a model with it and one without are so far apart at most. 8 is weak, 1 is strong."""
    delta: float | None = Field(default=None, gt=0, lt=0.1)
    """The chance that a row shows by more; derived: a tenth of one over the number of training rows."""
    clip: float = Field(default=1.0, gt=0)
    """The longest gradient of one row; longer ones are shortened to it, and noise is drawn in proportion to it."""
