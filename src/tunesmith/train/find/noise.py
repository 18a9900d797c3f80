"""How many rows a step are worth it: the gradient noise scale (McCandlish et al. 2018, arXiv 1812.06162, appendix A).

With steps of far fewer rows than the noise scale, twice the rows take nearly half the steps; with far more, they take
as many. At the scale itself a training needs about twice the fewest steps and twice the fewest rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SKETCH = 4096
"""Numbers that stand for a gradient; inner products are kept to about 1 / sqrt of it (Charikar et al. 2002)."""
FEWEST = 8
"""Groups of rows below which nothing can be told."""


@dataclass(frozen=True)
class Noise:
    """The noise scale in rows, with the interval of a jackknife over groups; None where the gradient drowns in it."""

    rows: float | None
    low: float | None
    high: float | None


def sketch(gradients: Iterable[Tensor | None]) -> NDArray[np.float64]:
    """A gradient as `SKETCH` numbers: each weight is added, with a sign, to one of them, always the same."""
    found = torch.zeros(SKETCH, dtype=torch.float64)
    start = 0
    for gradient in gradients:
        if gradient is None:
            continue
        flat = gradient.detach().reshape(-1).to("cpu", torch.float64)
        place = torch.arange(start, start + len(flat), dtype=torch.int64)
        mixed = (place * 2654435761 + 1013904223) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFFFFF
        mixed = mixed ^ (mixed >> 13)
        found.index_add_(0, (mixed >> 1) % SKETCH, torch.where((mixed & 1).bool(), flat, -flat))
        start += len(flat)
    return found.numpy()


def noise_scale(gradients_KD: NDArray[np.float64], rows: int) -> Noise:
    """The noise scale from the mean gradients of K groups of rows.

    Args:
        gradients_KD: [K, D] one a group, or sketches of them; at least `FEWEST`.
        rows: of each group.
    """
    count = len(gradients_KD)
    noise, squared = _estimates(gradients_KD, rows)
    parts_K2 = np.array([_estimates(np.delete(gradients_KD, index, axis=0), rows) for index in range(count)])
    if min(noise, squared - 1.96 * _error(parts_K2[:, 1])) <= 0 or parts_K2.min() <= 0:
        return Noise(None, None, None)
    spread = float(np.exp(1.96 * _error(np.log(parts_K2[:, 0] / parts_K2[:, 1]))))
    scale = noise / squared
    return Noise(scale, scale / spread, scale * spread)


def _error(parts_K: NDArray[np.float64]) -> float:
    """The standard error of an estimate, by its values with one group left out."""
    return float(np.sqrt((len(parts_K) - 1) * parts_K.var()))


def _estimates(gradients_KD: NDArray[np.float64], rows: int) -> tuple[float, float]:
    """tr(S), of single rows, and |G|^2: unbiased, from the groups' lengths and that of their mean."""
    count = len(gradients_KD)
    small = float((gradients_KD**2).sum(axis=1).mean())
    big = float((gradients_KD.mean(axis=0) ** 2).sum())
    return rows * count * (small - big) / (count - 1), (count * big - small) / (count - 1)
