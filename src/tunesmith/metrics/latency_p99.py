"""The 99th percentile of latency: see `latency_p50`."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.metrics.latency_p50 import LatencyP50


class LatencyP99(LatencyP50):
    """Time within which 99 % of the answers come."""

    share: ClassVar[float] = 0.99
