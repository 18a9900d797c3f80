"""How many rows of each class there should be, which of them go and which are repeated, and how much each should weigh.

C classes, N rows of a class.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def shared_out(counts: Mapping[str, int], temperature: float) -> dict[str, int]:
    """As many rows as there are, shared out in proportion to count^(1/temperature); largest remainders round up."""
    if not counts:
        return {}
    weights_C = np.array(list(counts.values()), dtype=np.float64) ** (1 / temperature)
    exact_C = weights_C / weights_C.sum() * sum(counts.values())
    found_C = np.floor(exact_C).astype(np.int64)
    missing = sum(counts.values()) - int(found_C.sum())
    found_C[np.argsort(found_C - exact_C, kind="stable")[:missing]] += 1
    return dict(zip(counts, found_C.tolist(), strict=True))


def spread(lengths_N: Ints, count: int, random: np.random.Generator) -> Ints:
    """Places of `count` rows whose lengths are spread as those of all: every so-manieth by length, from a random start.

    Rows of one length are taken at random.
    """
    order = np.lexsort((random.random(len(lengths_N)), lengths_N))
    steps = np.floor((np.arange(count) + random.random()) * len(lengths_N) / max(count, 1)).astype(np.int64)
    places: Ints = np.sort(order[steps])
    return places


def times(count: int, wanted: int, random: np.random.Generator) -> Ints:
    """How often each of `count` rows stands there when there are to be `wanted`: equally often, the rest at random."""
    found = np.full(count, wanted // count, dtype=np.int64)
    found[random.permutation(count)[: wanted % count]] += 1
    return found


def inverse_frequency(counts: Mapping[str, int]) -> dict[str, float]:
    """Weights that give every class the same sum, with a mean of one over all rows."""
    return _mean_one({name: 1 / count for name, count in counts.items()}, counts)


def effective_number(counts: Mapping[str, int], beta: float) -> dict[str, float]:
    """Weights by the effective number of rows, (1 - beta^n) / (1 - beta) (Cui et al., arXiv 1901.05555, equation 2),
    with a mean of one over all rows."""
    return _mean_one({name: (1 - beta) / (1 - beta**count) for name, count in counts.items()}, counts)


def _mean_one(weights: Mapping[str, float], counts: Mapping[str, int]) -> dict[str, float]:
    mean = sum(weights[name] * count for name, count in counts.items()) / max(1, sum(counts.values()))
    return {name: weight / mean for name, weight in weights.items()}
