"""Lets through new rows that are neither broken nor too much like rows that are there, and counts the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from tunesmith.data.methods.augmenting.likeness import Features, Neighbours, features_of, likeness
from tunesmith.data.methods.augmenting.target import said
from tunesmith.data.methods.augmenting.words import words_of
from tunesmith.data.room import Room
from tunesmith.records import Record

SAME = "the same as its original"
NEAR = "too much like its original"
TRAINED = "too much like another training row"
HELD_OUT = "too much like a held-out row"
MADE = "too much like another new row"


class Sieve:
    """Judges new rows one after the other; those let through are looked at for the next ones.

    Args:
        records: the rows to train on.
        room: holds the held-out rows.
        threshold: the likeness from which on a row is too much like another.
        near: whether a row may be that much like the one it was made of, if only it is not the same.
        crowd: new rows must not be much like earlier new ones of the same original, or with it of all of the same
            label; the same as any earlier one none may be.
    """

    def __init__(
        self, records: Sequence[Record], room: Room, threshold: float, *, near: bool = False, crowd: bool = False
    ) -> None:
        self.threshold, self.near, self.crowd = threshold, near, crowd
        self.rejected: Counter[str] = Counter()
        self.measured: list[float] = []
        """The likeness of each new row that was looked at to its original."""
        self._records = records
        self._trained = Neighbours(records, room, said, threshold)
        self._held_out = Neighbours(room.held_out, room, said, threshold)
        self._made: dict[str, list[Features]] = {}
        self._seen: set[bytes] = set()

    def takes(self, new: Record, original: Record) -> bool:
        """Whether a new row may join; why not is counted."""
        why = self._why_not(new, original)
        if why:
            self.rejected[why] += 1
        return not why

    def _why_not(self, new: Record, original: Record) -> str:
        found, first = features_of(said(new)), features_of(said(original))
        alike = likeness(found, first)
        self.measured.append(alike)
        if _normalised(said(new)) == _normalised(said(original)):
            return SAME
        if alike >= self.threshold and not self.near:
            return NEAR
        if next(self._held_out.all(found), None) is not None:
            return HELD_OUT
        if self._near_another(found, original):
            return TRAINED
        if self._near_new(found, original):
            return MADE
        return ""

    def _near_new(self, found: Features, original: Record) -> bool:
        whole = blake2b(found.tobytes(), digest_size=8).digest()
        group = " ".join(original.labels) if self.crowd else original.id
        if group not in self._made and not self.crowd:
            self._made.clear()  # rows of one original come one after the other
        own = self._made.setdefault(group, [])
        if whole in self._seen or any(likeness(found, other) >= self.threshold for other in own):
            return True
        self._seen.add(whole)
        own.append(found)
        return False

    def _near_another(self, found: Features, original: Record) -> bool:
        return any(self._records[place].id != original.id for place in self._trained.all(found))


def _normalised(text: str) -> list[str]:
    """Its words, whatever their case and whatever stands between them."""
    return [word.text.casefold() for word in words_of(text)]
