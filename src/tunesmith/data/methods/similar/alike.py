"""What is known of rows that are alike, and which of them stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.similar.union import Union
from tunesmith.data.methods.similar.words import F64, I64

Similarity = Callable[[I64, I64], npt.NDArray[np.floating]]
"""How alike each row of the first is to that of the second."""
ROUNDS = 1000
"""So many rows of one group are compared with the rest of it; whatever is left then stays."""


class Alike:
    """Rows that are at least `threshold` alike, while pairs come in.

    Args:
        count: N.
        threshold: from where two rows are alike.
        similarity: tells exactly how alike rows are.
    """

    def __init__(self, count: int, threshold: float, similarity: Similarity) -> None:
        self.threshold, self.similarity = threshold, similarity
        self.compared = 0
        """Pairs compared exactly."""
        self.nearest: F64 = np.full(count, np.nan)
        """[N] the highest similarity found to another row; nan where a row was compared with none."""
        self._union = Union(count)

    def compare(self, left: I64, right: I64) -> None:
        """Compares those pairs that are in different groups, and joins them where they are alike."""
        apart = self._union.find(left) != self._union.find(right)
        left, right = left[apart], right[apart]
        similarity = self.similarity(left, right)
        self.compared += len(left)
        for side in (left, right):
            np.fmax.at(self.nearest, side, similarity)
        alike = similarity >= self.threshold
        self._union.join(left[alike], right[alike])

    def join(self, left: I64, right: I64) -> None:
        """Takes in pairs that are known to be alike."""
        self._union.join(left, right)

    def groups(self) -> I64:
        """[N] the first row of each row's group: rows that are alike, directly or through others."""
        return self._union.groups()


@dataclass(frozen=True)
class Choice:
    """Which of the rows that are alike stay."""

    stands_for: I64
    """[N] the row that stays in a row's place; the row itself where it stays."""
    similarity: F64
    """[N] how alike the two are."""

    @property
    def left_out(self) -> I64:
        """The rows that do not stay."""
        return np.flatnonzero(self.stands_for != np.arange(len(self.stands_for)))


def choose(members: I64, group: I64, alike: Alike, count: int) -> Choice:
    """Keeps the first member of each group, leaves out those that are like it, and goes on with what is left of the
    group. So whatever is left out is at least `threshold` like the row that stays for it, also where a chain of rows
    makes a group of some that are not alike.

    Args:
        members: [M] rows, those that should rather stay first.
        group: [M] the number of each one's group.
        alike: tells how alike rows are.
        count: N.
    """
    stands_for, similarity = np.arange(count), np.ones(count)
    order = np.argsort(group, kind="stable")
    members, group = members[order], group[order]
    for _ in range(ROUNDS):
        if not len(members):
            break
        first = np.ones(len(members), bool)
        first[1:] = group[1:] != group[:-1]
        leader = members[np.maximum.accumulate(np.where(first, np.arange(len(members)), 0))][~first]
        members, group = members[~first], group[~first]
        found = alike.similarity(leader, members).astype(np.float64)
        gone = found >= alike.threshold
        stands_for[members[gone]], similarity[members[gone]] = leader[gone], found[gone]
        members, group = members[~gone], group[~gone]
    return Choice(stands_for, similarity)
