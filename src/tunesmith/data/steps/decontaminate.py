"""Drops training rows that stand in evaluation sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tunesmith.data.methods.similar.overlap import evaluation, overlaps, parts_of
from tunesmith.data.read.find import find
from tunesmith.data.readers import Row
from tunesmith.data.room import SHOWN, Room
from tunesmith.data.steps import KEEP, Outcome, Step, drop
from tunesmith.records import Record
from tunesmith.spec.sections import Source

REASON = "stands in an evaluation set"
CHUNK = 1000
"""Rows that are looked at at once."""
OWN = "this run's validation and test rows"


class Decontaminate(Step):
    """Compares training rows with evaluation sets, so that a benchmark measures what was learned and not what was read.

    A row overlaps an evaluation row where a run of `words` words stands in both, whatever their case and punctuation.
    Evaluation texts of 8 words or more that are shorter than a run count as a whole; those of 4 to 7 words only where a
    question or text says nothing else.
    """

    rows: ClassVar[Literal["all", "train"]] = "train"

    against: tuple[str, ...] = ()
    """Files with evaluation sets, relative to the spec: every format that sources have. All of their columns count."""
    held_out: bool = True
    """Whether to compare with this run's own validation and test rows too."""
    words: int = Field(default=13, ge=8, le=50)
    """Words of a run. Shorter ones find more, and more that proves nothing."""
    overlap: float = Field(default=0.0, ge=0, lt=1)
    """A row is dropped when more than this share of its words stands in common runs; 0: when any does."""
    action: Literal["drop", "report"] = "drop"
    """`report` tells of the rows and keeps them."""

    @model_validator(mode="after")
    def _something_to_compare_with(self) -> Self:
        if not self.against and not self.held_out:
            raise ValueError("name files with evaluation sets under `against`, or leave `held_out` true")
        return self

    def files(self) -> tuple[str, ...]:
        return self.against

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        names: list[str] = []
        sets: dict[str, int] = {}
        known = evaluation(self._evaluation_rows(room, names, sets), self.words)
        share, row = np.zeros(len(records)), np.full(len(records), -1, np.int64)
        met_rows = np.zeros(known.num_rows, bool)
        said: dict[int, str] = {}
        done = 0
        for met in room.map_chunks(partial(overlaps, against=known), records, CHUNK):
            share[done : done + len(met.share)], row[done : done + len(met.share)] = met.share, met.row
            said |= {done + place: text for place, text in met.said.items()}
            met_rows[met.rows] = True
            done += len(met.share)
            room.after(done, len(records))
        self._tell(records, share, row, said, names, sets, met_rows, room)
        for place in range(len(records)):
            if self.action == "drop" and share[place] > self.overlap:
                detail = f"{said[place]!r} stands in {names[row[place]]}; {share[place]:.0%} of its words do"
                yield drop(REASON, detail)
            else:
                yield KEEP

    def _evaluation_rows(self, room: Room, names: list[str], sets: dict[str, int]) -> Iterator[list[str]]:
        """The texts of every evaluation row; enters where it stands, and how many each set has."""
        for path in self.against:
            before, broken = len(names), 0
            for file in find(Source(path=path), room.folder):
                for row in file.rows():
                    if isinstance(row, Row):
                        names.append(row.where)
                        yield list(_texts(row.values))
                    else:
                        broken += 1
            sets[path] = len(names) - before
            if broken:
                room.note(f"{broken} rows of {path} cannot be read, and were not compared")
        if self.held_out and len(room.held_out):
            sets[OWN] = len(room.held_out)
            for record in room.held_out:
                names.append(record.source)
                yield [text for text, _ in parts_of(record)]

    def _tell(
        self,
        records: Sequence[Record],
        share: np.ndarray[Any, np.dtype[np.float64]],
        row: np.ndarray[Any, np.dtype[np.int64]],
        said: dict[int, str],
        names: Sequence[str],
        sets: dict[str, int],
        met_rows: np.ndarray[Any, np.dtype[np.bool_]],
        room: Room,
    ) -> None:
        room.measured("share of words that stand in evaluation sets", share, high=self.overlap)
        start = 0
        found: dict[str, dict[str, int]] = {}
        for name, count in sets.items():
            found[name] = {"rows": count, "overlapped": int(met_rows[start : start + count].sum())}
            start += count
            room.note(f"{found[name]['overlapped']} of {count} rows of {name} share a run with a row to train on")
        room.figure("evaluation sets", found)
        most = [place for place in np.argsort(-share, kind="stable")[:SHOWN].tolist() if share[place] > 0]
        room.show(
            "rows that stand in evaluation sets",
            (
                {"row": records[place].source, "with": names[row[place]], "share": round(float(share[place]), 3)}
                | {"words": said[place]}
                for place in most
            ),
        )


def _texts(value: Any) -> Iterator[str]:
    """Every text in a row, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
