"""Makes one row of the rows in which several annotators labelled the same item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np
from pydantic import Field

from tunesmith.data.read.row import MISSING_SLICE
from tunesmith.data.room import Room
from tunesmith.data.steps import Outcome, Step, change, drop
from tunesmith.records import Record

GATHERED = "votes gathered from the rows of one item"
MERGED = "merged into another row"
NOBODY = "neither item nor annotator is named"
NO_LABEL = "not one label to count as a vote"
TWICE = "second vote of one annotator on one item"

_FINE, _NOBODY, _NO_LABEL = 0, 1, 2


class GatherVotes(Step):
    """Gathers the labels that annotators gave to the same item, one a row, as votes of the item's first row. The label
    itself is then open; `consensus` settles it.
    """

    item: str = Field(min_length=1, examples=["item"])
    """The column that says which rows are about the same item."""
    annotator: str = Field(min_length=1, examples=["worker"])
    """The column that says who labelled the row."""

    def columns(self) -> tuple[str, ...]:
        return (self.item, self.annotator)

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        whos: dict[str, int] = {}
        labels: dict[str, int] = {}
        texts: set[bytes] = set()
        rows = len(records)
        state_N, who_N, label_N = (np.zeros(rows, np.int32) for _ in range(3))
        item_N = np.zeros(rows, "V16")
        for place, (state, item, who, label, text) in enumerate(room.look(self._said, records)):
            state_N[place], item_N[place] = state, np.void(item)
            if state == _FINE:
                who_N[place] = whos.setdefault(who, len(whos))
                label_N[place] = labels.setdefault(label, len(labels))
                texts.add(item + text)
        fine = np.flatnonzero(state_N == _FINE)
        _, first, group = np.unique(item_N[fine], return_index=True, return_inverse=True)
        if len(texts) > len(first):
            room.note(f"{len(texts) - len(first)} items stand with more than one text; the first row's is kept")
        first_N = np.full(rows, -1)
        first_N[fine] = fine[first[group.ravel()]] if len(fine) else fine
        # The rows of an item, in their order, follow each other.
        by_item = fine[np.argsort(first_N[fine], kind="stable")]
        begins = np.searchsorted(first_N[by_item], np.arange(rows + 1)) if rows else np.zeros(1, np.int64)
        names, said = list(whos), list(labels)
        counted: set[int] = set()
        for place, record in enumerate(records):
            if state_N[place] != _FINE:
                yield drop(NOBODY if state_N[place] == _NOBODY else NO_LABEL)
            elif first_N[place] == place:
                votes: dict[str, str] = {}
                for row in by_item[begins[place] : begins[place + 1]].tolist():
                    if names[who_N[row]] not in votes:
                        votes[names[who_N[row]]] = said[label_N[row]]
                        counted.add(row)
                yield change(replace(record, labels=(), votes={**record.votes, **votes}), GATHERED)
            elif place in counted:
                counted.discard(place)
                yield drop(MERGED, f"of {records[int(first_N[place])].source}")
            else:
                yield drop(TWICE, f"by {names[who_N[place]]}, who called it {said[label_N[place]]} here")

    def _said(self, record: Record) -> tuple[int, bytes, str, str, bytes]:
        item = record.slices.get(self.item, MISSING_SLICE)
        who = record.slices.get(self.annotator, MISSING_SLICE)
        if MISSING_SLICE in (item, who):
            return _NOBODY, _digest(""), "", "", b""
        if record.label is None:
            return _NO_LABEL, _digest(""), "", "", b""
        return _FINE, _digest(item), who, record.label, _digest(record.content())


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
