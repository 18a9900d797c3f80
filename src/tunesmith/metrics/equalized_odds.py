"""Equalized odds (arXiv 1610.02413): how far groups are apart in being given a label, of the rows that have it and of
those that do not, whichever is worse.

0 where all groups fare alike; fairlearn's `equalized_odds_difference` where no group is too small.
"""

from __future__ import annotations

from typing import ClassVar

from tunesmith.metrics._parity import GroupGap, Kind


class EqualizedOdds(GroupGap):
    """Largest difference between groups in being given a label, where it is right and where it is wrong."""

    rates: ClassVar[tuple[Kind, ...]] = ("found", "mistaken")
