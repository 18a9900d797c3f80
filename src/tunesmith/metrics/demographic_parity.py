"""Demographic parity: how far groups are apart in the share of their rows that are given a label, whatever is right.

0 where all groups fare alike; fairlearn's `demographic_parity_difference` where no group is too small.
"""

from __future__ import annotations

from typing import ClassVar

from tunesmith.metrics._parity import GroupGap, Kind


class DemographicParity(GroupGap):
    """Largest difference between groups in being given a label."""

    rates: ClassVar[tuple[Kind, ...]] = ("given",)
