"""Membership TPR: how many training rows an attack is sure of, at a share of held-out rows wrongly accused.

An attack that is right on average may be sure of nobody, and one that is no better than chance on average may be sure
of a few; the second harms people (Carlini et al. 2022, arXiv 2112.03570).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.metrics import Floats
from tunesmith.metrics._roc import hits, hits_interval
from tunesmith.metrics.membership_auc import MembershipAuc


class MembershipTpr(MembershipAuc):
    """Share of training rows that an attack recognises while it accuses at most `fpr` of the held-out rows."""

    highest: ClassVar[float] = 1.0
    fpr: float = Field(default=0.01, gt=0, lt=1)
    """The share of held-out rows that may be accused."""

    def resampled(self, statistics: Floats, weights: Floats) -> Floats:
        return hits(statistics, weights, self.fpr)

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        return hits_interval(statistics, self.fpr, confidence)
