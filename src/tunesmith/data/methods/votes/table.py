"""The votes of all items as arrays, with items that were called the same by the same annotators held once.

P patterns, V votes of the patterns, A annotators, C labels, N items.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SHIFT = 20
"""Bits of a label's number beside an annotator's."""


@dataclass(frozen=True)
class Votes:
    """Who called which item what.

    A few functions say few different things of a million rows, so everything is computed for patterns and weighed by
    how many items have them. The order of items changes nothing but `pattern_N`.
    """

    annotators: tuple[str, ...]
    """Sorted."""
    labels: tuple[str, ...]
    """Sorted; everything that was said at least once."""
    of_V: Ints
    """The pattern of each vote, ascending."""
    annotator_V: Ints
    label_V: Ints
    count_P: Floats
    """How many items have each pattern."""
    pattern_N: npt.NDArray[np.int32]
    """The pattern of each item; -1 where nobody voted."""

    @classmethod
    def of(cls, votes: Iterable[Mapping[str, str]], labels: Iterable[str] = ()) -> Votes:
        """Gathers the votes of items.

        Args:
            votes: for each item annotator -> label.
            labels: further labels that exist, though perhaps nobody said them.
        """
        annotators: dict[str, int] = {}
        said: dict[str, int] = {label: number for number, label in enumerate(dict.fromkeys(labels))}
        patterns: dict[bytes, int] = {}

        def numbers() -> Iterator[int]:
            for each in votes:
                codes = sorted(
                    annotators.setdefault(who, len(annotators)) << _SHIFT | said.setdefault(what, len(said))
                    for who, what in each.items()
                )
                yield patterns.setdefault(array("q", codes).tobytes(), len(patterns)) if codes else -1

        pattern_N = np.fromiter(numbers(), np.int32)
        codes_V = np.frombuffer(b"".join(patterns), np.int64)
        lengths_P = np.array([len(key) // 8 for key in patterns], np.int64)
        voters, to_voter = _sorted(annotators)
        names, to_label = _sorted(said)
        return cls(
            voters,
            names,
            np.repeat(np.arange(len(patterns)), lengths_P),
            to_voter[codes_V >> _SHIFT],
            to_label[codes_V & ((1 << _SHIFT) - 1)],
            np.bincount(pattern_N[pattern_N >= 0], minlength=len(patterns)).astype(np.float64),
            pattern_N,
        )

    @cached_property
    def counts_PC(self) -> Floats:
        """How many called each pattern what."""
        flat = tally(self.of_V * len(self.labels) + self.label_V, None, self.num_patterns * len(self.labels))
        return flat.reshape(self.num_patterns, len(self.labels))

    @property
    def num_patterns(self) -> int:
        return len(self.count_P)

    @property
    def num_items(self) -> int:
        """Items that somebody voted on."""
        return int(self.count_P.sum())

    @property
    def num_votes(self) -> int:
        """Votes of all items."""
        return int(self.votes_A.sum())

    @cached_property
    def votes_A(self) -> Ints:
        """How many items each annotator voted on."""
        return np.bincount(self.annotator_V, self.count_P[self.of_V], minlength=len(self.annotators)).astype(np.int64)

    def without(self, annotator: int) -> Votes:
        """The votes of all others. Patterns stay; those that nobody else voted on count nothing."""
        keep_V = self.annotator_V != annotator
        voted_P = np.bincount(self.of_V[keep_V], minlength=self.num_patterns) > 0
        return Votes(
            self.annotators,
            self.labels,
            self.of_V[keep_V],
            self.annotator_V[keep_V],
            self.label_V[keep_V],
            np.where(voted_P, self.count_P, 0.0),
            self.pattern_N,
        )


def tally(place: npt.NDArray[Any], weight: npt.NDArray[Any] | None, size: int) -> Floats:
    """The sum of the weights (or the count) at each place, `size` of them."""
    return np.bincount(place, weight, minlength=size).astype(np.float64)


def _sorted(numbers: Mapping[str, int]) -> tuple[tuple[str, ...], Ints]:
    """The names in order, and old number -> new number."""
    names = tuple(sorted(numbers))
    moved = np.zeros(len(names), np.int64)
    for new, name in enumerate(names):
        moved[numbers[name]] = new
    return names, moved
