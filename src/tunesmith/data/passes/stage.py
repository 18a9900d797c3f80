"""What one pass over the rows came to: which go on, which were dropped, changed or made, and why. Kept in a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from tunesmith.data.disk.spool import Ints, IntsWriter, Records, Spool, SpoolWriter, address
from tunesmith.data.room import Distribution, Findings
from tunesmith.data.steps import Changed, Dropped
from tunesmith.records import Record
from tunesmith.runs import read_json, write_json

NAMED = 5
"""Rows named of each reason."""
SAVE_EVERY = 50_000
"""Rows between two moments from which an interrupted pass goes on."""
_SPOOLS, _NUMBERS = ("new", "dropped", "changed"), ("kept", "put_right")


@dataclass
class Tally:
    """How often something happened, and to which rows first."""

    count: int = 0
    rows: list[str] = field(default_factory=list)

    def add(self, where: str) -> None:
        self.count += 1
        if len(self.rows) < NAMED:
            self.rows.append(where)

    def join(self, other: Tally) -> None:
        """Adds what another has counted."""
        self.count += other.count
        self.rows = [*self.rows, *other.rows][:NAMED]


Tallies = dict[tuple[str, str], Tally]
"""By step and reason."""


@dataclass
class Books:
    """The sums of a pass."""

    read: Counter[int] = field(default_factory=Counter)
    """By source, like the others."""
    lost: Counter[int] = field(default_factory=Counter)
    made: Counter[int] = field(default_factory=Counter)
    dropped: Tallies = field(default_factory=dict)
    changed: Tallies = field(default_factory=dict)
    added: Tallies = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        sums = {name: sorted(getattr(self, name).items()) for name in ("read", "lost", "made")}
        return {**sums, **{name: tallies_to_json(getattr(self, name)) for name in ("dropped", "changed", "added")}}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Books:
        """The inverse of `to_json`."""
        read, lost, made = (
            Counter({int(key): count for key, count in said[name]}) for name in ("read", "lost", "made")
        )
        return cls(read, lost, made, *(tallies_from_json(said[name]) for name in ("dropped", "changed", "added")))


def tallies_to_json(found: Tallies) -> list[dict[str, Any]]:
    """`[{step, reason, count, rows}]`."""
    return [{"step": step, "reason": reason, **asdict(tally)} for (step, reason), tally in found.items()]


def tallies_from_json(found: Sequence[dict[str, Any]]) -> Tallies:
    """The inverse of `tallies_to_json`."""
    return {(each["step"], each["reason"]): Tally(each["count"], list(each["rows"])) for each in found}


class StageWriter:
    """Writes a pass down, a row at a time, in order.

    Args:
        folder: to be filled; what an interrupted pass has left there is gone on from with `resume`.
        spools: the files that records lie in so far; new ones get the next number.
        resume: go on after the rows that are done, `done`; else begin again.
    """

    def __init__(self, folder: Path, spools: tuple[Spool, ...], *, resume: bool = False) -> None:
        self.folder, self.number = folder, len(spools)
        self.books, self.done = Books(), 0
        sizes = dict.fromkeys((*_SPOOLS, *_NUMBERS), 0)
        state = folder / "state.json"
        if resume and state.exists():
            said = read_json(state)
            sizes, self.done, self.books = said["sizes"], said["done"], Books.from_json(said["books"])
        state.unlink(missing_ok=True)
        self._new, self._dropped, self._changed = (SpoolWriter(folder / f"{n}.spool", sizes[n]) for n in _SPOOLS)
        self._kept, self._put_right = (IntsWriter(folder / f"{name}.ints", sizes[name]) for name in _NUMBERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()

    @property
    def _files(self) -> tuple[SpoolWriter | IntsWriter, ...]:
        return (self._new, self._dropped, self._changed, self._kept, self._put_right)

    def put(self, record: Record) -> int:
        """Writes a new record down; returns its address."""
        return address(self.number, self._new.append(record.to_json()))

    def put_text(self, text: bytes) -> int:
        """As `put`, of a record that is written out already."""
        return address(self.number, self._new.append_bytes(text))

    def keep(self, at: int, row: int) -> None:
        """The record at an address goes on."""
        self._kept.append(at, row)

    def drop(self, at: int, row: int, record: Record, step: str, reason: str, detail: str = "") -> None:
        """The record at an address is left out."""
        self.books.lost[record.origin] += 1
        self.books.dropped.setdefault((step, reason), Tally()).add(record.source)
        self._dropped.append({"at": at, "row": row, "step": step, "reason": reason, "detail": detail})

    def change(self, before: int, after: int, row: int, record: Record, step: str, reasons: Sequence[str]) -> None:
        """A record is not what it was; `before` and `after` are addresses."""
        for reason in reasons:
            self.books.changed.setdefault((step, reason), Tally()).add(record.source)
        self._put_right.append(row)
        self._changed.append({"before": before, "after": after, "step": step, "reasons": list(reasons)})

    def make(self, record: Record, row: int, step: str, reason: str) -> None:
        """A new record goes on."""
        self.books.made[record.origin] += 1
        self.books.added.setdefault((step, reason), Tally()).add(record.source)
        self.keep(self.put(record), row)

    def save(self, done: int) -> None:
        """From here an interrupted pass goes on: `done` rows are done."""
        for file in self._files:
            file.flush()
        sizes = dict(zip((*_SPOOLS, *_NUMBERS), (file.size for file in self._files), strict=True))
        write_json(self.folder / "state.json", {"done": done, "sizes": sizes, "books": self.books.to_json()})

    def finish(self, findings: Findings, seconds: float, **facts: Any) -> None:
        """Writes what is left. `facts` are plain JSON values to be kept with it."""
        for file in self._files:
            file.flush()
        said = {"books": self.books.to_json(), "findings": asdict(findings), "facts": facts}
        write_json(self.folder / "stage.json", {**said, "seconds": round(seconds, 3)})
        (self.folder / "state.json").unlink(missing_ok=True)


class Stage:
    """A pass that is done.

    Args:
        folder: what a `StageWriter` has filled.
        before: the files that records lay in before.
        holder: keeps the folder alive.
    """

    def __init__(self, folder: Path, before: tuple[Spool, ...], holder: object = None) -> None:
        said = read_json(folder / "stage.json")
        self.folder, self._holder = folder, holder
        self.spools = (*before, Spool(folder / "new.spool", holder))
        kept = np.fromfile(folder / "kept.ints", np.int64).reshape(-1, 2)
        self.kept = Records(self.spools, np.ascontiguousarray(kept[:, 0]), np.ascontiguousarray(kept[:, 1]))
        self.put_right: Ints = np.fromfile(folder / "put_right.ints", np.int64)
        """The numbers of the rows that were changed."""
        self.books = Books.from_json(said["books"])
        found = said["findings"]
        self.findings = Findings(**{**found, "distributions": [Distribution(**d) for d in found["distributions"]]})
        self.facts: dict[str, Any] = said["facts"]
        self.seconds: float = said["seconds"]

    def dropped(self) -> Iterator[Dropped]:
        """The rows that were left out, in order."""
        for entry in Spool(self.folder / "dropped.spool").values():
            yield Dropped(self._record(entry["at"]), entry["step"], entry["reason"], entry["detail"])

    def changed(self) -> Iterator[Changed]:
        """The rows that were put right, once for each reason."""
        for entry in Spool(self.folder / "changed.spool").values():
            before, after = self._record(entry["before"]), self._record(entry["after"])
            yield from (Changed(before, after, entry["step"], reason) for reason in entry["reasons"])

    def _record(self, at: int) -> Record:
        one = np.asarray([at], np.int64)
        return Records(self.spools, one, one)[0]
