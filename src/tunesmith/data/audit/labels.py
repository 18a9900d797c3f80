"""How evenly rows are spread over labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

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
    totals = {label: sum(found) for label, found in counts.items()}
    whole = sum(totals.values())
    if len(totals) < 2 or not whole:
        return None
    ordered = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))
    shares = [rows / whole for _, rows in ordered]
    nats = -sum(share * math.log(share) for share in shares)
    return {
        "labels": [
            {"label": label, "rows": rows, "share": rows / whole, **dict(zip(SPLITS, counts[label], strict=True))}
            for label, rows in ordered
        ],
        "ratio": ordered[0][1] / ordered[-1][1],
        "entropy": nats / math.log(len(ordered)),
        "effective": math.exp(nats),
        "majority": shares[0],
    }
