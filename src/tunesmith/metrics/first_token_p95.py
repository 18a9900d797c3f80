"""The 95th percentile of the time to the first token: see `first_token_p50`."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.metrics.first_token_p50 import FirstTokenP50


class FirstTokenP95(FirstTokenP50):
    """Time within which 95 % of the answers begin."""

    share: ClassVar[float] = 0.95
