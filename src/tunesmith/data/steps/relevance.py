"""Drops rows that are far from examples of what is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from math import ceil

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tunesmith.data.methods.quality import relevance
from tunesmith.data.methods.quality.said import judged
from tunesmith.data.read.find import read
from tunesmith.data.read.row import to_record
from tunesmith.data.read.shape import SAMPLE, recognise
from tunesmith.data.read.values import BadRow
from tunesmith.data.readers import Row
from tunesmith.data.room import Room
from tunesmith.data.steps import Outcome
from tunesmith.data.steps._bounded import Bound, BoundedStep, gathered
from tunesmith.errors import DataError
from tunesmith.records import Embedder, Record
from tunesmith.spec.sections import Source

_MOST_SEEDS = 500
_LEARNED_FROM = 20_000
"""Rows, spread over all, from which it is learned how rare words are."""
_AT_ONCE = 256
"""Rows handed to a model together."""


class Relevance(BoundedStep):
    """Measures how near every row is to examples of what is wanted, and leaves out those that are far, once it is told
    where to cut: the similarities of rows are shown first, because no threshold is right for all.

    Nearness is the cosine to the nearest seed: of TF-IDF vectors, which find rows that share words; or of a model's
    embeddings, which find rows that mean the same.
    """

    seeds: str | tuple[str, ...] = Field(examples=[["My card has not arrived.", "Where is my new card?"]])
    """Texts such as are wanted, or the path of a file with them, in any format that sources have. From about ten on
    they say what a subject is."""
    model: str | None = None
    """The model whose embeddings are compared, as `base.model` names one; words are compared where there is none."""
    at_least: float | None = Field(default=None, ge=-1, le=1)
    """Drop rows of a lower similarity."""
    best: float | None = Field(default=None, gt=0, le=1)
    """Keep this share of the rows, the nearest ones."""

    def models(self) -> tuple[str, ...]:
        return (self.model,) if self.model else ()

    def files(self) -> tuple[str, ...]:
        return (self.seeds,) if isinstance(self.seeds, str) else ()

    def measure(self, records: Sequence[Record], room: Room) -> npt.NDArray[np.float64]:
        seeds = self._texts(room)
        if self.model:
            embedder = room.models.embedder(self.model)
            return gathered(_embedded(records, seeds, embedder), len(records), 1)
        every = max(1, len(records) // _LEARNED_FROM)
        sample = (_said(record) for number, record in enumerate(records) if number % every == 0)
        compared = relevance.compared_with(seeds, sample)
        return gathered(room.look(partial(_similarity, seeds=compared), records), len(records), 1)

    def bounds(self, values_NK: npt.NDArray[np.float64]) -> tuple[Bound, ...]:
        lows = [self.at_least] if self.at_least is not None else []
        if self.best is not None and len(values_NK):
            last = len(values_NK) - ceil(self.best * len(values_NK))
            lows.append(float(np.partition(values_NK[:, 0], last)[last]))
        return (Bound("similarity to the seeds", low=max(lows, default=None), below="far from the seeds"),)

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        yield from super().apply(records, room)
        if self.at_least is None and self.best is None:
            room.note("nothing is dropped by its similarity to the seeds before `at_least` or `best` says where to cut")

    def _texts(self, room: Room) -> list[str]:
        found = list(self.seeds) if not isinstance(self.seeds, str) else list(_read(self.seeds, room))
        found = [text for text in found if text.strip()]
        if not found:
            raise DataError("there are no seeds", where="data.steps", fix="write some texts such as are wanted")
        if len(found) > _MOST_SEEDS:
            room.note(f"{_MOST_SEEDS} of {len(found)} seeds are compared with, evenly spread over all")
            found = [found[number * len(found) // _MOST_SEEDS] for number in range(_MOST_SEEDS)]
        return found


def _read(path: str, room: Room) -> Iterator[str]:
    source = Source(path=path)
    rows = [row for row in read(source, room.folder) if isinstance(row, Row)]
    if not rows:
        return
    recognised = recognise(rows[:SAMPLE], source.map, room.task)
    for row in rows:
        try:
            yield _said(to_record(row, recognised, (), 1.0, lambda reason: None))
        except BadRow:
            continue


def _said(record: Record) -> str:
    return "\n".join(judged(record))


def _similarity(record: Record, seeds: relevance.Seeds) -> tuple[float]:
    return (relevance.similarity(_said(record), seeds),)


def _embedded(records: Sequence[Record], seeds: Sequence[str], embedder: Embedder) -> Iterator[tuple[float]]:
    seeds_SD = embedder.embed(seeds)
    left = iter(records)
    while batch := list(islice(left, _AT_ONCE)):
        found_BS = embedder.embed([_said(record) for record in batch]) @ seeds_SD.T
        yield from ((float(nearest),) for nearest in found_BS.max(axis=1))
