"""Lets labelling functions vote on every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Annotated, Self, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tunesmith.data.methods.votes import quality
from tunesmith.data.methods.votes.functions import LabelFunction, RowFunction
from tunesmith.data.methods.votes.table import Ints, Votes
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, change
from tunesmith.errors import DataError
from tunesmith.part import LABEL_FUNCTIONS, Part
from tunesmith.records import Record

VOTED = "votes of labelling functions added"


class LabelFunctions(Step):
    """Lets labelling functions vote on every row, each for a label or not at all, and measures how often they speak,
    overlap, contradict each other and, where rows have a label, are right. `consensus` makes labels of the votes.
    """

    functions: tuple[Annotated[Part, LABEL_FUNCTIONS], ...] = Field(
        min_length=1,
        examples=[
            [
                {"kind": "keywords", "name": "refund", "words": ["refund"], "label": "billing"},
                {"kind": "regex", "name": "arrived", "pattern": "arrived", "label": "delivery"},
            ]
        ],
    )
    """The functions, `{kind: keywords, name:, words:, label:}` and others."""

    @model_validator(mode="after")
    def _differ(self) -> Self:
        names = [function.name for function in self._functions]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two functions are called {twice[0]!r}; their votes stand under their names")
        return self

    @property
    def _functions(self) -> tuple[LabelFunction, ...]:
        return cast(tuple[LabelFunction, ...], self.functions)

    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for function in self._functions for column in function.columns()))

    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(model for function in self._functions for model in function.models()))

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        labels: dict[str, int] = {}
        said_NF = np.full((len(records), len(self.functions)), -1, np.int32)
        gold_N = np.full(len(records), -2, np.int64)
        for row, (votes, gold) in enumerate(room.look(self._looked_at, records)):
            for place, label in votes.items():
                said_NF[row, place] = labels.setdefault(label, len(labels))
            if gold is not None:
                gold_N[row] = labels.setdefault(gold, len(labels))
        for place, function in enumerate(self._functions):
            if not isinstance(function, RowFunction):
                for row, voted in enumerate(function.votes(records, room)):
                    if voted is not None:
                        said_NF[row, place] = labels.setdefault(voted, len(labels))
        names = list(labels)
        if len(records):
            self._tell(said_NF, names, gold_N, room)
        for record, said_F in zip(records, said_NF, strict=True):
            if (said_F >= 0).any():
                own = {self._functions[place].name: names[said_F[place]] for place in np.flatnonzero(said_F >= 0)}
                yield change(replace(record, votes={**_foreign(record, own), **own}), VOTED)
            else:
                yield KEEP

    def _looked_at(self, record: Record) -> tuple[dict[int, str], str | None]:
        """What the functions that need no other row say, by their place; and the row's own label."""
        found = {
            place: label
            for place, function in enumerate(self._functions)
            if isinstance(function, RowFunction) and (label := function.vote(record)) is not None
        }
        return found, record.label

    def _tell(self, said_NF: npt.NDArray[np.int32], names: list[str], gold_N: Ints, room: Room) -> None:
        called = [function.name for function in self._functions]
        votes = Votes.of(
            ({called[place]: names[said_F[place]] for place in np.flatnonzero(said_F >= 0)} for said_F in said_NF),
            names,
        )
        to_sorted = np.array([votes.labels.index(name) for name in names] + [-2], np.int64)
        known_N = to_sorted[np.where(gold_N < 0, len(names), gold_N)]
        rows = {row.name: row for row in quality.functions(votes, known_N)}
        room.figure(
            "labelling functions",
            [asdict(rows[name]) if name in rows else {"name": name, "votes": 0, "coverage": 0.0} for name in called],
        )
        covered = votes.num_items / len(said_NF)
        conflicts = float(votes.count_P @ ((votes.counts_PC > 0).sum(1) > 1)) / len(said_NF)
        room.figure("coverage", {"rows": len(said_NF), "covered": covered, "conflict": conflicts})
        room.note(f"functions vote on {covered:.1%} of the rows, and contradict each other on {conflicts:.1%}")
        silent = [name for name in called if name not in rows]
        if silent:
            room.note(f"these functions vote on no row: {', '.join(silent)}")


def _foreign(record: Record, own: dict[str, str]) -> dict[str, str]:
    """The votes a record has from elsewhere."""
    both = sorted(set(own) & set(record.votes))
    if both:
        raise DataError(
            f"{both[0]!r} has voted on {record.source} already",
            where="data.steps: label_functions",
            fix="give the function another name",
        )
    return dict(record.votes)
