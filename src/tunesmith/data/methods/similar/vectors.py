"""Finds rows of the same meaning: every vector against every other one, a block at a time.

N rows, D numbers a vector of length one. Memory is that of two blocks and their products, whatever N; time grows with
N squared.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.similar.alike import Alike
from tunesmith.data.methods.similar.stored import Stored
from tunesmith.data.methods.similar.words import I64

BLOCK = 2048
"""Rows of a block."""
COMPARED = 1 << 14
"""Pairs that are compared at once."""


def link(vectors: Stored, threshold: float, after: Callable[[int, int | None], None]) -> Alike:
    """Which rows have a cosine of at least `threshold`.

    Args:
        vectors: [N, D], of length one.
        threshold: the smallest cosine of two rows that are alike.
        after: told how many rows are done, and of how many.
    """
    found = Alike(vectors.count, threshold, lambda left, right: cosine(vectors, left, right))
    nearest = np.full(vectors.count, -1.0, np.float32)
    for start in range(0, vectors.count, BLOCK):
        left_RD = vectors.read(start, min(start + BLOCK, vectors.count))
        for other in range(start, vectors.count, BLOCK):
            right_SD = vectors.read(other, min(other + BLOCK, vectors.count))
            products_RS = left_RD @ right_SD.T
            if other == start:
                np.fill_diagonal(products_RS, -1.0)
            mine, theirs = slice(start, start + len(left_RD)), slice(other, other + len(right_SD))
            nearest[mine] = np.maximum(nearest[mine], products_RS.max(axis=1))
            nearest[theirs] = np.maximum(nearest[theirs], products_RS.max(axis=0))
            left, right = np.nonzero(products_RS >= threshold)
            found.join(left + start, right + other)
        after(start + len(left_RD), vectors.count)
    found.nearest = np.where(nearest > -1, nearest, np.nan).astype(np.float64)
    found.compared = vectors.count * (vectors.count - 1) // 2
    return found


def cosine(vectors: Stored, left: I64, right: I64) -> npt.NDArray[np.float32]:
    """The cosine of each row of `left` with that of `right`."""
    found = np.empty(len(left), np.float32)
    for start in range(0, len(left), COMPARED):
        part = slice(start, start + COMPARED)
        found[part] = np.einsum("nd,nd->n", vectors.take(left[part]), vectors.take(right[part]))
    return found
