"""What steps that make new rows to train on have in common.

A row is chosen or not by its own id, so that other rows beside it change nothing. What a step says of a row is a
candidate, a new record, or a short phrase why there is none; candidates go through a sieve, and what is left out is
counted. Labels stay as they are.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal, overload

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tunesmith.data.methods.augmenting.drift import Tally, drift
from tunesmith.data.methods.augmenting.sieve import Sieve
from tunesmith.data.methods.augmenting.target import Target, said, target, varied, why_not
from tunesmith.data.rewrite import Edit, edited
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, make
from tunesmith.errors import UserError, did_you_mean
from tunesmith.records import Record, Responder
from tunesmith.spec.quantity import Share

Candidate = Record | str
"""A new row, or why there is none."""

SPANS = "its labelled stretches could not be kept"
UNCHANGED = "nothing in it to change"


class Augment(Step):
    """Makes new rows of rows to train on."""

    rows: ClassVar[Literal["all", "train"]] = "train"
    reason: ClassVar[str]
    """Why there is a new row, a short constant phrase."""
    keeps_spans: ClassVar[bool] = True
    """Whether labelled stretches stay right."""
    near: ClassVar[bool] = False
    """Whether new rows may be much like the one they were made of."""
    crowd: ClassVar[bool] = False
    """Whether all new rows of a label are compared, not only those of one original."""

    share: Share = Share(0.5, "")
    """New rows at the most, as a share of the rows to train on."""
    copies: int = Field(default=1, ge=1, le=20)
    """New rows of each row that is chosen."""
    only: Literal["rare"] | tuple[str, ...] = ()
    """Only rows with one of these labels; `rare`: labels with fewer than half as many rows as a label has on average.
    Empty: all rows."""
    max_likeness: Share = Share(0.95, "")
    """A new row is left out when it shares so much of its words and pairs of words with its original, with another row
    to train on, or with a held-out row."""

    @abstractmethod
    def vary(self, records: Picked, room: Room) -> Iterator[list[Candidate]]:
        """Candidates made of each record, `copies` or fewer, in order. Ids and parents are set afterwards."""

    def prepare(self, records: Sequence[Record], room: Room) -> None:
        """Looks at what the step needs before any row is read; nothing by default."""

    def suits(self, record: Record, folder: Path) -> str:
        """Why a record cannot be varied by this step; empty when it can. Called in other processes.

        Args:
            folder: what relative paths in settings start from.
        """
        if record.spans is not None and not self.keeps_spans:
            return SPANS
        return why_not(record)

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        if not len(records):
            return
        self.prepare(records, room)
        limit = math.floor(self.share.value * len(records))
        sieve = Sieve(records, room, self.max_likeness.value, near=self.near, crowd=self.crowd)
        work = _Work(self, sieve, limit, Tally(len(records)), Tally(len(records)))
        chosen = _choose(self, records, room, limit, work.none)
        work.taken = {record.id for record in records if record.parent is not None}
        candidates = self.vary(Picked(records, np.flatnonzero(chosen)), room)
        for record, is_chosen in zip(records, chosen.tolist(), strict=True):
            work.before.add(said(record), record.labels)
            fresh = work.accept(record, next(candidates)) if is_chosen else []
            yield make(fresh, self.reason) if fresh else KEEP
        work.report(room)


class EditAugment(Augment):
    """Changes single words or letters, each row by itself and on several cores; stretches move along."""

    @abstractmethod
    def edits(self, said: Target, random: np.random.Generator) -> list[Edit]:
        """What is changed in a text; nothing where nothing can be."""

    def vary(self, records: Picked, room: Room) -> Iterator[list[Candidate]]:
        return room.map(partial(self._vary, room.seed), records)

    def _vary(self, seed: int, record: Record) -> list[Candidate]:
        found, made = target(record), []
        for number in range(self.copies):
            edits = self.edits(found, Room(seed=seed).random(self.kind, record.id, number))
            text, spans = edited(found.text, found.spans, edits)
            made.append(varied(record, text, spans) if edits else UNCHANGED)
        return made


class AskingAugment(Augment):
    """Asks a model for new texts; texts with labelled stretches are left as they are."""

    keeps_spans: ClassVar[bool] = False

    model: str = Field(examples=["https://host/v1#model"])
    """What is asked: a base, a folder, `run:NAME/N`, or `https://host/v1#model` for an OpenAI-compatible endpoint."""
    temperature: float = Field(default=0.8, ge=0)
    """How freely it writes; 0 takes the likeliest words."""
    max_tokens: int = Field(default=256, ge=1)
    """The longest answer, in tokens."""

    def models(self) -> tuple[str, ...]:
        return (self.model,)

    def seed(self, room: Room, number: int) -> int:
        """What answers of the same round are drawn from, each by what it is asked."""
        return int(room.random(self.kind, number).integers(2**31))


class RewordingAugment(AskingAugment):
    """Asks for other words for a row, once for each copy."""

    @abstractmethod
    def ask(self, records: Sequence[Record], responder: Responder, room: Room, number: int) -> list[Candidate]:
        """A candidate for each record.

        Args:
            number: of the copy, from 0; another one draws other answers.
        """

    def vary(self, records: Picked, room: Room) -> Iterator[list[Candidate]]:
        responder = room.models.responder(self.model)
        done = 0
        for chunk in chunks(records):
            answers = [self.ask(chunk, responder, room, number) for number in range(self.copies)]
            done += len(chunk)
            room.after(done, len(records))
            yield from map(list, zip(*answers, strict=True))


def chunks(records: Iterable[Record], count: int = 32) -> Iterator[list[Record]]:
    """Rows that a model is asked about at once."""
    waiting = iter(records)
    while chunk := list(islice(waiting, count)):
        yield chunk


class Picked(Sequence[Record]):
    """Some of the records, read where they lie."""

    def __init__(self, records: Sequence[Record], places: npt.NDArray[np.int64]) -> None:
        self.whole, self._places = records, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, at: int) -> Record: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Record]: ...

    def __getitem__(self, at: int | slice) -> Record | Sequence[Record]:
        if isinstance(at, slice):  # without the others, since it may travel to another process
            take = getattr(self.whole, "take", lambda places: [self.whole[place] for place in places])
            found: Sequence[Record] = take(self._places[at])
            return found
        return self.whole[int(self._places[at])]


@dataclass
class _Work:
    """What has been made so far, and what came of the others."""

    step: Augment
    sieve: Sieve
    limit: int
    before: Tally
    new: Tally
    none: Counter[str] = field(default_factory=Counter)
    taken: set[str] = field(default_factory=set)
    shown: list[dict[str, Any]] = field(default_factory=list)

    def accept(self, record: Record, candidates: list[Candidate]) -> list[Record]:
        """Those of the candidates that are let through, with an id of their own and their parent's."""
        fresh: list[Record] = []
        for candidate in candidates:
            if isinstance(candidate, str):
                self.none[candidate] += 1
            elif self.new.rows < self.limit and self.sieve.takes(candidate, record):
                new = replace(candidate, id=self._name(record), parent=record.id)
                self.new.add(said(new), new.labels)
                fresh.append(new)
                self.shown.append(_shown(record, new)) if len(self.shown) < 12 else None
        return fresh

    def _name(self, record: Record) -> str:
        number, name = 1, f"{record.id}+{self.step.kind}"
        while name in self.taken:
            number += 1
            name = f"{record.id}+{self.step.kind}{number}"
        self.taken.add(name)
        return name

    def report(self, room: Room) -> None:
        """Tells what came of it all."""
        left_out = {**self.none, **self.sieve.rejected}
        room.figure("new rows", {"made": self.new.rows, "at the most": self.limit})
        room.figure("left out", dict(sorted(left_out.items(), key=lambda pair: -pair[1])))
        room.figure("drift", drift(self.before, self.new))
        if self.sieve.measured:
            high = None if self.step.near else self.sieve.threshold
            room.measured("likeness of a new row to its original", self.sieve.measured, high=high)
        room.show("new rows", self.shown)
        if count := self.none[SPANS]:
            room.note(f"{count} rows with labelled stretches were passed over: {self.step.kind} cannot keep them")


def _shown(record: Record, new: Record) -> dict[str, Any]:
    return {"row": new.id, "before": said(record)[:500], "after": said(new)[:500], "labels": list(new.labels)}


def _choose(
    step: Augment, records: Sequence[Record], room: Room, limit: int, none: Counter[str]
) -> npt.NDArray[np.bool_]:
    """Which records are varied; why others cannot be is counted."""
    wanted = _wanted(step, records)
    rank = np.ones(len(records))
    for place, (why, drawn) in enumerate(room.map(partial(_look, step, room.seed, room.folder, wanted), records)):
        if why:
            none[why] += 1
        else:
            rank[place] = drawn
    count = min(math.ceil(limit / step.copies), int((rank < 1).sum()))
    chosen = np.zeros(len(records), dtype=np.bool_)
    chosen[np.argsort(rank, kind="stable")[:count]] = True
    return chosen


def _wanted(step: Augment, records: Sequence[Record]) -> frozenset[str] | None:
    """The labels whose rows are varied; None for all rows."""
    if not step.only:
        return None
    counts = Counter(label for record in records for label in record.labels)
    if step.only == "rare":
        return frozenset(label for label, count in counts.items() if count < counts.total() / len(counts) / 2)
    if unknown := [label for label in step.only if label not in counts]:
        raise UserError(
            f"no row to train on has the label {unknown[0]!r}{did_you_mean(unknown[0], counts)}",
            where=f"data.steps: {step.kind}.only",
            fix=f"use labels that rows have: {', '.join(sorted(counts)[:20]) or 'there are none'}",
        )
    return frozenset(step.only)


def _look(step: Augment, seed: int, folder: Path, wanted: frozenset[str] | None, record: Record) -> tuple[str, float]:
    """Why a record is not varied, and a number below 1 that decides whether it is; 1 where it is not asked for."""
    if wanted is not None and not wanted & set(record.labels):
        return "", 1.0
    why = "a row that a step made" if record.parent is not None else step.suits(record, folder)
    digest = blake2b(f"{seed} {step.kind} {record.id}".encode("utf-8", "surrogatepass"), digest_size=7).digest()
    return why, int.from_bytes(digest, "big") / 2**56
