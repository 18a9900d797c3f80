"""What a data step works with: cores, models, a seed, and where it tells what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from tunesmith.errors import UserError
from tunesmith.records import Models, Record

T = TypeVar("T")
Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]
Told = Callable[[int, int | None], None]
"""Called with how much is done, and how much there is, if that is known."""


def silent(done: int, total: int | None) -> None:
    """A listener that does not care."""


BINS = 40
"""Bars of a distribution."""
TOLD_EVERY = 1000
"""Rows between two figures of progress."""
SHOWN = 30
"""The most examples a step shows of one kind."""


@dataclass(frozen=True)
class Distribution:
    """How a figure is spread over the rows, and where a threshold cuts it."""

    what: str
    """`words`, `share of symbols`, `similarity to the seeds`."""
    low: float | None
    """Rows below are cut."""
    high: float | None
    """Rows above are cut."""
    count: int
    cut: int
    """Rows outside of the thresholds."""
    edges: list[float]
    """Borders of the bars, one more than there are bars."""
    bars: list[int]
    """Rows in each."""
    quantiles: dict[str, float]
    """p1, p5, p25, p50, p75, p95, p99, and min and max."""


@dataclass
class Findings:
    """What a step has told beside its outcomes; plain JSON values with `dataclasses.asdict`."""

    distributions: list[Distribution] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Title -> rows for people to look at: clusters of copies, labels that look wrong."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Named figures, plain JSON values: agreement of annotators, coverage of labelling functions."""


class Room:
    """What a data step works with.

    Args:
        seed: of everything drawn; `random` makes generators of it.
        models: models by reference; None where there are none, as in tests.
        held_out: validation and test rows, for steps on training rows, and for what must not be met in them.
        task: the goal's task.
        num_held_out: so many of the records, the first ones, are held out by their source for validation or test.
        folder: what relative paths in settings start from, the spec's folder.
        vault: the workspace's vault, a file that need not be there yet; None where nothing secret can be kept.
        mapper: calls a function on records, in their order, on as many cores as there are; one after the other when
            left out.
        after: told how many rows are done, and of how many.
        looking: told likewise of the rows that a step looks at before it says what becomes of the first.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        models: Models | None = None,
        held_out: Sequence[Record] = (),
        num_held_out: int = 0,
        task: str | None = None,
        folder: Path = Path(),
        vault: Path | None = None,
        mapper: Mapper | None = None,
        after: Told = silent,
        looking: Told = silent,
    ) -> None:
        self.seed, self.held_out, self.task, self.folder = seed, held_out, task, folder
        self.num_held_out = num_held_out
        self.findings = Findings()
        self.after, self.looking = after, looking
        self._models, self._mapper, self._vault = models, mapper, vault

    @property
    def models(self) -> Models:
        """The models a step may ask, by reference."""
        if self._models is None:
            raise UserError("there are no models here", where="data.steps", fix="run the step from a spec")
        return self._models

    @property
    def vault(self) -> Path:
        """The workspace's vault; `Vault.open_or_create` opens it."""
        if self._vault is None:
            raise UserError("there is no vault here", where="data.steps", fix="run the step from a spec")
        return self._vault

    def map(self, function: Callable[[Record], T], records: Sequence[Record]) -> Iterator[T]:
        """Calls `function` on every record; yields the results in order. It and they must be able to travel to other
        processes: a method of a part, or a function of a module, and plain values or arrays."""
        return self._mapper(function, records) if self._mapper else map(function, records)

    def look(self, function: Callable[[Record], T], records: Sequence[Record]) -> Iterator[T]:
        """As `map`, for what has to be known of all records before anything is said of the first."""
        return telling(self.map(function, records), self.looking, len(records))

    def map_chunks(
        self, function: Callable[[Sequence[Record]], T], records: Sequence[Record], size: int
    ) -> Iterator[T]:
        """As `map`, but calls `function` on at most `size` records at once, where many together are done faster."""
        chunks = Chunks(records, size)
        return self._mapper(function, chunks) if self._mapper else map(function, chunks)

    def random(self, *names: object) -> np.random.Generator:
        """A generator of its own for everything with a name: `room.random(record.id)` draws the same whatever rows are
        beside it."""
        return np.random.default_rng([self.seed, *(_number(name) for name in names)])

    def note(self, text: str) -> None:
        """Says something to people, in a line."""
        self.findings.notes.append(text)

    def figure(self, name: str, value: Any) -> None:
        """Keeps a figure: plain JSON values."""
        self.findings.figures[name] = value

    def show(self, title: str, rows: Iterable[dict[str, Any]]) -> None:
        """Keeps some rows for people to look at, as plain JSON values."""
        kept = self.findings.examples.setdefault(title, [])
        for row in rows:
            if len(kept) >= SHOWN:
                break
            kept.append(row)

    def measured(
        self,
        what: str,
        values: Sequence[float] | npt.NDArray[np.floating[Any]],
        *,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        """Keeps the distribution of a figure that thresholds cut, so that they can be judged by what they cut."""
        found = np.asarray(values, dtype=np.float64)
        found = found[np.isfinite(found)]
        if not len(found):
            return
        bars, edges = np.histogram(found, bins=BINS, range=_range(found))
        cut = int(((found < low) if low is not None else np.zeros(len(found), bool)).sum())
        cut += int(((found > high) if high is not None else np.zeros(len(found), bool)).sum())
        names = {"min": 0, "p1": 1, "p5": 5, "p25": 25, "p50": 50, "p75": 75, "p95": 95, "p99": 99, "max": 100}
        quantiles = dict(zip(names, np.percentile(found, list(names.values())).tolist(), strict=True))
        self.findings.distributions.append(
            Distribution(what, low, high, len(found), cut, edges.tolist(), bars.tolist(), quantiles)
        )


def telling(items: Iterable[T], after: Told, total: int) -> Iterator[T]:
    """The items, and after each thousand of them how many there were."""
    for done, item in enumerate(items, 1):
        yield item
        if done % TOLD_EVERY == 0:
            after(done, total)


class Chunks(Sequence[Sequence[Record]]):
    """Records, some at a time."""

    def __init__(self, records: Sequence[Record], size: int) -> None:
        self._records, self._size = records, size

    def __len__(self) -> int:
        return -(-len(self._records) // self._size)

    @overload
    def __getitem__(self, place: int) -> Sequence[Record]: ...
    @overload
    def __getitem__(self, place: slice) -> Chunks: ...
    def __getitem__(self, place: int | slice) -> Sequence[Record] | Chunks:
        if isinstance(place, slice):
            start, stop, _ = place.indices(len(self))
            return Chunks(self._records[start * self._size : stop * self._size], self._size)
        at = range(len(self))[place] * self._size
        return self._records[at : at + self._size]

    def detached(self) -> list[list[Record]]:
        """The chunks with everything in them, to be sent to another machine."""
        return [list(chunk) for chunk in self]


def _range(found: npt.NDArray[np.float64]) -> tuple[float, float]:
    """From the smallest to the 99.5th percentile, so that one giant does not make one bar of all others."""
    low, high = float(found.min()), float(np.percentile(found, 99.5))
    high = float(found.max()) if high <= low else high
    return (low, high) if high > low else (low, low + 1.0)


def _number(name: object) -> int:
    from hashlib import blake2b

    return int.from_bytes(blake2b(str(name).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
