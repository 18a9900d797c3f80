"""Equalized odds as a ratio: the lowest group's share over the highest's; 1 where all fare alike.

fairlearn's `equalized_odds_ratio` where no group is too small.
"""

from __future__ import annotations

from typing import ClassVar

from tunesmith.metrics._parity import GroupRatio, Kind


class EqualizedOddsRatio(GroupRatio):
    """Smallest ratio between groups in being given a label, where it is right and where it is wrong."""

    rates: ClassVar[tuple[Kind, ...]] = ("found", "mistaken")
