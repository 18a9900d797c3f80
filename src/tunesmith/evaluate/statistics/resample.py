"""Bootstrap resamples: how often each row is drawn, the same for every metric and arm, so that all is paired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tunesmith.metrics import Floats, Metric

_CHUNK = 2_000_000
"""Weights held at once, 16 MB."""


def weights(num_rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yields [r, N] counts of how often each row is drawn, `resamples` rows of it in all; each sums to N."""
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK // max(num_rows, 1))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = random.integers(0, num_rows, size=(count, num_rows))
        places = drawn + np.arange(count)[:, None] * num_rows
        yield np.bincount(places.ravel(), minlength=count * num_rows).reshape(count, num_rows).astype(np.float64)


def draw(measured: Sequence[tuple[Metric, Floats]], resamples: int, seed: int) -> list[Floats]:
    """[R] values of each metric over the same resamples.

    Args:
        measured: metrics with their statistics [N, K]; every N is the same.
        resamples: R.
        seed: draws the same rows whatever is measured on them.
    """
    num_rows = len(measured[0][1]) if measured else 0
    if num_rows == 0:
        return [np.empty(0) for _ in measured]
    parts = [
        [metric.resampled(statistics, chunk) for metric, statistics in measured]
        for chunk in weights(num_rows, resamples, seed)
    ]
    return [np.concatenate(values) for values in zip(*parts, strict=True)]
