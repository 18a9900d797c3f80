"""Drops rows that say nearly the same as another one, word for word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from pydantic import Field

from tunesmith.data.methods.similar import SHINGLE
from tunesmith.data.methods.similar.alike import Alike
from tunesmith.data.methods.similar.candidates import WINDOW, link
from tunesmith.data.methods.similar.minhash import curve
from tunesmith.data.methods.similar.sketches import sketch_all
from tunesmith.data.room import Room
from tunesmith.data.steps._duplicates import Duplicates
from tunesmith.records import Record


class NearDedup(Duplicates):
    """Keeps one of the rows that are nearly the same, whatever their case and punctuation.

    Two rows are as alike as the sets of all runs of so many words in them: the common ones among all (Jaccard
    similarity). Candidates are found by MinHash and compared exactly. So every row left out is at least `threshold`
    like the one that stays for it; of the pairs exactly at the threshold 99% are found, above it nearly all.
    """

    threshold: float = Field(default=0.8, ge=0.3, le=1)
    """How alike two rows are from where on one is a copy; 1 is the same words in the same order. In a row of 60 words
    one other word leaves 0.90, two leave 0.81, four 0.66."""
    words: int = Field(default=SHINGLE, ge=1, le=20)
    """Words of a run. Longer ones let fewer rows be alike."""

    same: ClassVar[str] = "same words as another row"
    near: ClassVar[str] = "nearly the same words as another row"
    other_label: ClassVar[str] = "nearly the same words as another row, another label"

    @contextmanager
    def _alike(self, records: Sequence[Record], room: Room) -> Iterator[Alike]:
        shape = curve(self.threshold)
        with sketch_all(records, room, shape, self.compare, self.words) as sketches:
            alike, crowded = link(sketches, self.threshold)
            found = f"{shape.found(self.threshold):.1%}"
            room.note(f"{shape.bands} bands of {shape.width} values find {found} of the pairs at {self.threshold:g}")
            if crowded:
                room.note(f"{crowded} rows look like more than {WINDOW} others; each was compared with the nearest")
            yield alike
