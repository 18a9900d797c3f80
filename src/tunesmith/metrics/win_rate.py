"""Win rate: how often people preferred the tuned model's answer to the other arm's; a tie counts half.

It is measured on the rows that people compared (`tunesmith review` with a criterion of kind `preference`).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.metrics.rating import Rating


class WinRate(Rating):
    """Share of rows on which people preferred the tuned model's answer; ties count half."""

    highest: ClassVar[float] = 1.0
    criterion: str = Field(default="preference", min_length=1, max_length=130, examples=["preference"])
    """Which criterion of the rubric."""
