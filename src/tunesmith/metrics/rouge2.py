"""ROUGE-2 F-measure: see `rouge1`, with pairs of words."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.metrics.rouge1 import Rouge1


class Rouge2(Rouge1):
    """Overlap of pairs of neighbouring words with the right answer."""

    measured: ClassVar[str] = "rouge2"
