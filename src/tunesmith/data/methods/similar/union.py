"""Which rows hang together, in an array: union-find for many pairs at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.similar.words import I64


class Union:
    """Groups of `count` rows, each alone at first. A group is named by its first row."""

    def __init__(self, count: int) -> None:
        self._above: npt.NDArray[np.int32] = np.arange(count, dtype=np.int32)

    def find(self, rows: I64) -> I64:
        """The first row of the group that each row is in."""
        found = self._above[rows]
        while True:
            above = self._above[found]
            if np.array_equal(above, found):
                self._above[rows] = found
                return found.astype(np.int64)
            found = above

    def join(self, left: I64, right: I64) -> None:
        """Puts the groups of every pair together."""
        while len(left):
            left, right = self.find(left), self.find(right)
            apart = left != right
            left, right = left[apart], right[apart]
            low, high = np.minimum(left, right), np.maximum(left, right)
            # Where a group is joined to several, one of them wins, and the others go another round.
            self._above[high] = low

    def groups(self) -> I64:
        """The first row of each row's group, for all rows."""
        return self.find(np.arange(len(self._above)))
