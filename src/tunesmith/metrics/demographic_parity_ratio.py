"""Demographic parity as a ratio: the lowest group's share over the highest's; 1 where all fare alike.

fairlearn's `demographic_parity_ratio` where no group is too small; rules of four fifths ask for at least 0.8.
"""

from __future__ import annotations

from typing import ClassVar

from tunesmith.metrics._parity import GroupRatio, Kind


class DemographicParityRatio(GroupRatio):
    """Smallest ratio between groups in being given a label."""

    rates: ClassVar[tuple[Kind, ...]] = ("given",)
