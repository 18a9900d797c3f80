"""Equal opportunity as a ratio: the lowest group's share over the highest's; 1 where all fare alike.

fairlearn's `equal_opportunity_ratio` where no group is too small.
"""

from __future__ import annotations

from typing import ClassVar

from tunesmith.metrics._parity import GroupRatio, Kind


class EqualOpportunityRatio(GroupRatio):
    """Smallest ratio between groups in being given a label that is right."""

    rates: ClassVar[tuple[Kind, ...]] = ("found",)
