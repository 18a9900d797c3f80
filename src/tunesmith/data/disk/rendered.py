"""Records as something makes of others, when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import overload

from tunesmith.records import Record

_CHUNK = 256


class Rendered(Sequence[Record]):
    """What `render` makes of records, one for each, some at a time.

    Args:
        records: what it is made of.
        render: gives as many records as it is handed.
    """

    def __init__(self, records: Sequence[Record], render: Callable[[Sequence[Record]], list[Record]]) -> None:
        self._records, self._render = records, render

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        waiting = iter(self._records)
        while some := list(islice(waiting, _CHUNK)):
            yield from self._render(some)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> Rendered: ...
    def __getitem__(self, place: int | slice) -> Record | Rendered:
        if isinstance(place, slice):
            return Rendered(self._records[place], self._render)
        (made,) = self._render([self._records[place]])
        return made
