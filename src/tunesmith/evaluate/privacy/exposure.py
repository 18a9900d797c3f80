"""Exposure of canaries: where a planted secret ranks among others drawn like it (Carlini et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tunesmith.data.methods.canaries import canary, frame, is_canary
from tunesmith.evaluate.privacy import Exposed
from tunesmith.metrics import Floats
from tunesmith.metrics._intervals import accelerated, untouched
from tunesmith.records import Record


def planted(train: Sequence[Record]) -> tuple[list[Record], int]:
    """One row of each canary, in order, and how many rows say them."""
    rows = [record for record in train if is_canary(record)]
    return list({record.content(): record for record in reversed(rows)}.values())[::-1], len(rows)


def alternatives(canaries: Sequence[Record], count: int, seed: int) -> dict[tuple[object, ...], list[Record]]:
    """Secrets that were not planted, `count` for each frame that canaries stand in."""
    frames = {frame(record): record for record in reversed(canaries)}
    random = np.random.default_rng([seed, len(canaries)])
    return {key: [canary(form, random) for _ in range(count)] for key, form in frames.items()}


def bits_of(canary_nats: float, others: Floats) -> float:
    """The exposure of a canary: log2 of all less log2 of its rank; one as likely as another ranks behind it."""
    return math.log2(len(others) + 1) - math.log2(1 + int((others <= canary_nats).sum()))


def mean_bound(canaries: int, level: float) -> float:
    """What the mean exposure of secrets that a model does not know exceeds with a chance of at most `level`.

    A rank among so many is uniform, the exposure in nats so at most exponential with mean 1, and a sum of them gamma.
    """
    from scipy.special import gammainccinv

    return float(gammainccinv(canaries, level)) / canaries / math.log(2)


def exposed(
    canaries: Sequence[Record],
    rows: int,
    bits: Floats,
    alternatives: int,
    *,
    level: float,
    confidence: float,
    seed: int,
) -> Exposed:
    """What the canaries' exposures come to.

    Args:
        canaries: one row of each.
        rows: how many training rows say them.
        bits: [N] exposure of each.
        alternatives: how many secrets each was ranked among.
        level: the chance to accuse a model that knows no secret.
        confidence: of the interval.
        seed: of its resamples.
    """
    highest, mean = math.log2(alternatives + 1), float(bits.mean())
    if math.isclose(mean, highest):
        interval = untouched(highest, len(bits), 0.0, highest, confidence)
    else:
        drawn = np.random.default_rng(seed).choice(bits, (2000, len(bits))).mean(axis=1)
        left_out = (bits.sum() - bits) / max(len(bits) - 1, 1)
        interval = accelerated(mean, drawn, left_out, confidence)
    return Exposed(
        canaries=len(canaries),
        copies=rows / len(canaries),
        alternatives=alternatives,
        mean=mean,
        interval=interval,
        bound=mean_bound(len(canaries), level),
        highest=highest,
        bits=[round(value, 3) for value in bits.tolist()],
        sources=[record.source for record in canaries],
    )
