"""Makes new rows in which terms of identity are swapped for their counterparts. English only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from tunesmith.data.methods.augmenting.identity import BUNDLED, Swaps, open_swaps
from tunesmith.data.methods.augmenting.target import said
from tunesmith.data.rewrite import edited_record
from tunesmith.data.room import Room
from tunesmith.data.steps._augment import Augment, Candidate, Picked
from tunesmith.errors import UserError, did_you_mean
from tunesmith.records import Record, Role

_NOT_PEOPLE: tuple[Role, ...] = ("system",)

NOBODY = "no term of identity in it"


class Counterfactual(Augment):
    """Swaps `he` for `she`, `muslim` for `christian` and so on, so that the label hangs on something else
    (counterfactual data augmentation, arXiv 1807.11714).

    Each new row swaps one kind of terms, everywhere in the row. `his`, `her` and `him`, `a` and `an` follow; words
    like `black` are swapped in front of people only. A label that names the identity itself becomes wrong: leave such
    kinds out. English only.
    """

    reason: ClassVar[str] = "terms of identity swapped"
    near: ClassVar[bool] = True

    kinds: tuple[str, ...] = ()
    """Kinds of terms: `gender`, `ethnicity`, `nationality`, `religion`, `age`, or those of `pairs`; empty: all."""
    pairs: str | None = None
    """A YAML file with terms of your own, `gender: [[he, she], [father, mother]]`, relative to the spec's folder."""

    def prepare(self, records: Sequence[Record], room: Room) -> None:
        known = open_swaps(self._file(room.folder))
        if unknown := [kind for kind in self.kinds if kind not in known]:
            raise UserError(
                f"there are no pairs of the kind {unknown[0]!r}{did_you_mean(unknown[0], known)}",
                where=f"data.steps: {self.kind}.kinds",
                fix=f"use some of: {', '.join(known)}",
            )

    def suits(self, record: Record, folder: Path) -> str:
        return "" if self._found(self._file(folder), record) else NOBODY

    def files(self) -> tuple[str, ...]:
        return () if self.pairs is None else (self.pairs,)

    def vary(self, records: Picked, room: Room) -> Iterator[list[Candidate]]:
        return room.map(partial(self._swapped, self._file(room.folder)), records)

    def _swapped(self, file: Path, record: Record) -> list[Candidate]:
        return list(self._found(file, record)[: self.copies])

    def _found(self, file: Path, record: Record) -> list[Record]:
        """The record with terms of one kind swapped, for each kind that is in it."""
        swaps = open_swaps(file)
        found = [_swap(record, swaps[kind]) for kind in self.kinds or swaps]
        return [new for new in found if new is not None and said(new) != said(record)]

    def _file(self, folder: Path) -> Path:
        return BUNDLED if self.pairs is None else (folder / self.pairs).resolve()


def _swap(record: Record, swaps: Swaps) -> Record | None:
    """The record with all terms swapped in everything people say in it; None where there is none."""
    new = edited_record(record, swaps.edits, leave=_NOT_PEOPLE)
    return None if new is record else new
