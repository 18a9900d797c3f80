"""What a model reads of a row.

Shapes: T tokens of a row, S tokens of an encoder-decoder's answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tunesmith.data.steps import Dropped

ROLES = ("special", "system", "user", "assistant", "tool", "text")
"""What a token can belong to; `Example.roles` holds indices into it. Template text and control tokens are special."""


TOO_LONG = "longer than max_length"
"""Why `too_long: drop` leaves a row out."""

Need = Literal["text", "chat", "label", "spans"]
Family = Literal["causal", "encoder", "encoder_decoder"]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Example:
    """One row as a model reads it."""

    id: str
    """The record's id; pieces after the first get `#2`, `#3` and so on."""
    ids: Ints
    """What the model reads, [T]."""
    trained: npt.NDArray[np.bool_]
    """Whether token t is a target the loss counts, [T]; causal models predict it from t-1, so the first never is."""
    roles: npt.NDArray[np.uint8]
    """Index into `ROLES`, [T]."""
    weight: float = 1.0
    label: tuple[int, ...] = ()
    """Indices of the right labels, for classification."""
    tags: Ints | None = None
    """Index of each token's tag, [T]; -100 where none is asked."""
    answer_ids: Ints | None = None
    """What an encoder-decoder's decoder must say, stop token last, [S]."""
    cut: int = 0
    """Tokens cut off by max_length."""
    bent: bool = False
    """Whether spans overlap or had to be widened to words."""

    @property
    def num_tokens(self) -> int:
        """Tokens read and, by an encoder-decoder, said."""
        return len(self.ids) + (0 if self.answer_ids is None else len(self.answer_ids))


@dataclass(frozen=True)
class Encoded:
    """What became of many records."""

    examples: Sequence[Example]
    dropped: list[Dropped]
    gone: npt.NDArray[np.int64]
    """For each dropped record its place among the records."""
    places: npt.NDArray[np.int64]
    """For each example the place, among the records, of the one it comes from."""

    def of_those_left(self, count: int) -> Encoded:
        """As it would be without the records that were dropped.

        Args:
            count: how many records there were.
        """
        before = np.zeros(count, np.int64)
        before[self.gone] = 1
        return Encoded(self.examples, [], np.zeros(0, np.int64), self.places - np.cumsum(before)[self.places])
