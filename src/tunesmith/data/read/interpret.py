"""Rows to records written out, ready to be kept: what can be done of reading in another process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tunesmith.data.read.find import File
from tunesmith.data.read.recognised import Recognised
from tunesmith.data.read.row import MISSING_SLICE, to_record
from tunesmith.data.read.values import BadRow
from tunesmith.data.readers import Broken, Row, Stretch, excerpt
from tunesmith.records import Record


@dataclass(frozen=True, slots=True)
class Read:
    """What a row came to."""

    id: str
    where: str
    text: bytes
    """The record, or what is kept of a row that is none, as JSON in ASCII."""
    notes: tuple[str, ...] = ()
    """What was put right."""
    lost: tuple[str, str] | None = None
    """The step and the reason for which there is no record."""
    missing: tuple[str, ...] = ()
    """Of the columns that are to be kept those it does not have."""
    labelled: bool = False


@dataclass(frozen=True)
class Interpreter:
    """Makes records of the rows of one source.

    Args:
        recognised: which column plays which role.
        slices: columns to keep as named values.
        weight: how much a row counts in the loss.
        origin: the source's number.
    """

    recognised: Recognised
    slices: tuple[str, ...]
    weight: float
    origin: int

    def stretch(self, place: tuple[File, Stretch]) -> tuple[list[Read], dict[str, None]]:
        """The rows of a stretch, and the columns they have."""
        file, stretch = place
        columns: dict[str, None] = {}
        return list(self.rows(file.rows(stretch), columns)), columns

    def rows(self, rows: Iterable[Row | Broken], columns: dict[str, None]) -> Iterator[Read]:
        """What each row comes to; the columns they have are added to `columns`."""
        for row in rows:
            if isinstance(row, Broken):
                yield self._lost(Record(row.where, row.where, text=row.excerpt), "read", row.reason)
                continue
            columns.update(dict.fromkeys(row.values))
            notes: list[str] = []
            try:
                record = to_record(row, self.recognised, self.slices, self.weight, notes.append)
            except BadRow as bad:
                lost = Record(row.where, row.where, text=excerpt(repr(row.values)))
                yield self._lost(lost, "recognise", bad.reason)
            else:
                yield self.read(record, tuple(dict.fromkeys(notes)))

    def read(self, record: Record, notes: tuple[str, ...] = ()) -> Read:
        """A record with every named column among its slices; one without it says so."""
        missing = tuple(column for column in self.slices if column not in record.slices)
        labels = ", ".join(record.labels)
        filled = {column: (labels if column == "label" else "") or MISSING_SLICE for column in missing}
        whole = replace(record, slices={**filled, **record.slices}, origin=self.origin)
        return Read(record.id, record.source, _json(whole), notes, None, missing, bool(record.labels))

    def _lost(self, record: Record, step: str, reason: str) -> Read:
        return Read(record.id, record.source, _json(replace(record, origin=self.origin)), lost=(step, reason))


def renamed(read: Read, name: str) -> Read:
    """The same with another id."""
    return replace(read, id=name, text=json.dumps({**json.loads(read.text), "id": name}).encode("ascii"))


def _json(record: Record) -> bytes:
    return json.dumps(record.to_json(), separators=(",", ":")).encode("ascii")
