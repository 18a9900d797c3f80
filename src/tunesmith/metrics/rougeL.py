# noqa: N999 - the measure is written so
"""ROUGE-L F-measure: see `rouge1`, with the longest common subsequence of the whole text."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.metrics.rouge1 import Rouge1


class RougeL(Rouge1):
    """Longest run of words, gaps allowed, shared with the right answer."""

    measured: ClassVar[str] = "rougeL"
