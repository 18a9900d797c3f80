"""Equal opportunity (arXiv 1610.02413): how far groups are apart in the share of rows with a
label that are given it.

0 where all groups fare alike; fairlearn's `equal_opportunity_difference` where no group is too small.
"""

from __future__ import annotations

from typing import ClassVar

from tunesmith.metrics._parity import GroupGap, Kind


class EqualOpportunity(GroupGap):
    """Largest difference between groups in being given a label that is right."""

    rates: ClassVar[tuple[Kind, ...]] = ("found",)
