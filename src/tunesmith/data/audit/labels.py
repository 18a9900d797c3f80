"""How evenly rows are spread over labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.data.methods.votes.balance import imbalance
from tunesmith.data.split import SPLITS


def balance(counts: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
    """Figures of balance over all splits; None of fewer than two labels.

    Args:
        counts: label -> rows in each split.

    Returns:
        labels: [{label, rows, share, train, validation, test}], the commonest first; ratio: rows of the commonest for
        each of the rarest; entropy: of the shares, as a part of the most it could be; effective: so many equally common
        labels would be as hard to guess; majority: the share of the commonest.
    """
    totals = {label: rows for label, found in counts.items() if (rows := sum(found))}
    if len(totals) < 2:
        return None
    found = imbalance(totals)
    return {
        "labels": [
            {
                "label": label,
                "rows": rows,
                "share": found.shares[label],
                **dict(zip(SPLITS, counts[label], strict=True)),
            }
            for label, rows in found.counts.items()
        ],
        "ratio": found.ratio,
        "entropy": found.entropy,
        "effective": found.effective,
        "majority": found.majority,
    }
