"""How evenly labels are spread over rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp, log


@dataclass(frozen=True)
class Imbalance:
    """How evenly the rows are spread over their labels."""

    counts: dict[str, int]
    """Label -> rows, the commonest first."""
    shares: dict[str, float]
    """Label -> its share of the rows."""
    ratio: float
    """The commonest label's rows for each row of the rarest; 1 is even."""
    entropy: float
    """Of the shares, as a part of the most it could be: 1 is even, 0 is one label only."""
    effective: float
    """So many equally common labels would be as hard to guess: e to the entropy."""
    majority: float
    """The share of the commonest label: what a model reaches that knows nothing else."""


def imbalance(labels: Iterable[str] | Mapping[str, int]) -> Imbalance:
    """Measures how evenly rows are spread.

    Args:
        labels: one of each row, all of them one after the other where rows have several; or how many rows have each.

    Raises:
        ValueError: there are none.
    """
    found = Counter(labels)
    counts = {label: count for label, count in sorted(found.items(), key=lambda pair: (-pair[1], pair[0])) if count}
    total = sum(counts.values())
    if not total:
        raise ValueError("there are no labels")
    shares = {label: count / total for label, count in counts.items()}
    nats = -sum(share * log(share) for share in shares.values())
    return Imbalance(
        counts=counts,
        shares=shares,
        ratio=max(counts.values()) / min(counts.values()),
        entropy=nats / log(len(counts)) if len(counts) > 1 else 0.0,
        effective=exp(nats),
        majority=max(shares.values()),
    )
