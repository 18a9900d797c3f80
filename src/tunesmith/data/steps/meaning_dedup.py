"""Drops rows that mean the same as another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import ClassVar

from pydantic import Field

from tunesmith.data.methods.similar.alike import Alike
from tunesmith.data.methods.similar.stored import Stored
from tunesmith.data.methods.similar.texts import compared
from tunesmith.data.methods.similar.vectors import link
from tunesmith.data.room import Room
from tunesmith.data.steps._duplicates import Duplicates
from tunesmith.records import Record

CHUNK = 1024
"""Texts a model embeds at once."""


class MeaningDedup(Duplicates):
    """Keeps one of the rows that mean the same, by the vectors a model makes of them. Every row is compared with every
    other one, so twice the rows take four times as long: minutes for 100,000.
    """

    model: str = Field(examples=["bundled"], min_length=1)
    """The model: `bundled`, a folder, a hub id or `run:NAME/N`. One trained to compare sentences does best."""
    threshold: float = Field(default=0.95, gt=0, le=1)
    """The cosine from where on one of two rows is a copy. It means something else for every model: look at what is
    shown."""

    same: ClassVar[str] = "same meaning as another row"
    near: ClassVar[str] = "same meaning as another row"
    other_label: ClassVar[str] = "same meaning as another row, another label"

    def models(self) -> tuple[str, ...]:
        return (self.model,)

    @contextmanager
    def _alike(self, records: Sequence[Record], room: Room) -> Iterator[Alike]:
        embedder = room.models.embedder(self.model)
        left = iter(records)
        vectors: Stored | None = None
        try:
            while chunk := list(islice(left, CHUNK)):
                found_ND = embedder.embed([compared(record, self.compare) for record in chunk])
                vectors = vectors or Stored("float32", found_ND.shape[1])
                vectors.append(found_ND)
                room.after(vectors.count, len(records))
            vectors = vectors or Stored("float32", 1)
            yield link(vectors, self.threshold, room.after)
        finally:
            if vectors is not None:
                vectors.close()
