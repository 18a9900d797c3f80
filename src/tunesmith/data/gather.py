"""Reads the sources: recognises what each holds and writes its rows down as records."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

from tunesmith.data.disk.tables import iter_records
from tunesmith.data.ledger import SourceEntry
from tunesmith.data.read.find import File, find
from tunesmith.data.read.recognised import Recognised
from tunesmith.data.read.row import MISSING_SLICE, to_record
from tunesmith.data.read.shape import SAMPLE, recognise
from tunesmith.data.read.values import BadRow
from tunesmith.data.readers import Broken, Row, excerpt
from tunesmith.data.room import Findings
from tunesmith.data.stage import StageWriter
from tunesmith.data.workshop import After
from tunesmith.errors import DataError, did_you_mean
from tunesmith.records import Record
from tunesmith.spec.sections import Data, Mixture, Source

TOLD_EVERY = 1000
"""Rows between two words on how far the reading has come."""


@dataclass(frozen=True)
class Older:
    """What a stage replays."""

    where: str
    """The field of the spec that says so."""
    said: str
    """The source as the spec names it."""
    prepared: Path | None
    """The training rows a run has prepared; None where it is a file to be read."""


def gather(
    data: Data,
    folder: Path,
    task: str | None,
    columns: Sequence[str],
    older: Sequence[Older],
    into: Path,
    after: After,
) -> None:
    """Reads every source, recognises its columns and writes its rows into a stage.

    Args:
        data: the spec's section.
        folder: what relative paths start from, the spec's folder.
        task: the goal's task.
        columns: what is kept as slices.
        older: what stages replay, in their order; read after the sources.
        into: the folder of the stage. Its facts: `sources` (SourceEntry as JSON), `said` (lines for people) and
            `columns`, every column seen.
        after: told of the progress.

    Raises:
        DataError: a source is missing or unreadable, not recognised, or lacks a column.
    """
    started = time.monotonic()
    sources = [_weighing(source, data.mixture) for source in data.sources]
    sources += [Source(path=each.said) for each in older if each.prepared is None]
    files = {source.path: find(source, folder) for source in sources}
    shown = frozenset(file.shown for found in files.values() for file in found)
    with StageWriter(into, ()) as writer:
        gathered = _Gathered(writer, tuple(columns), shown, after)
        for source in sources[: len(data.sources)]:
            _gather(source, files[source.path], task, gathered)
        for each in older:
            if each.prepared is None:
                _gather(Source(path=each.said), files[each.said], task, gathered)
            else:
                _gather_prepared(each.said, each.prepared, gathered)
            gathered.sources[-1].split = "replay"
        gathered.close_columns()
        # How many rows each has stands in the books of the stage.
        described = [asdict(replace(source, read=0)) for source in gathered.sources]
        writer.finish(Findings(), time.monotonic() - started, sources=described, said=gathered.said)


@dataclass
class _Gathered:
    """What reading the sources has brought together."""

    writer: StageWriter
    slices: tuple[str, ...]
    files: frozenset[str]
    """How the files of all sources are called."""
    after: After
    sources: list[SourceEntry] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    rows: int = 0
    ids: set[bytes] = field(default_factory=set)
    """Digests of the ids that rows bring themselves; those made of a row's place are unique, and kept free for it."""
    renamed: int = 0
    columns: dict[str, None] = field(default_factory=dict)
    """Every column seen, in order."""
    without: Counter[str] = field(default_factory=Counter)
    """How many records have none of a column that is to be kept."""
    records: int = 0
    labelled: bool = False

    @property
    def number(self) -> int:
        """The number of the source being read."""
        return len(self.sources) - 1

    def unique(self, name: str, where: str) -> str:
        """An id no earlier row has: `name`, or `name` with the row's place."""
        if self._taken(name):
            self.renamed += 1
            name, number = f"{name}@{where}", 1
            while self._taken(name):
                number += 1
                name = f"{name.partition('#')[0]}#{number}"
        return name

    def _taken(self, name: str) -> bool:
        file, _, line = name.rpartition(":")
        if file in self.files and line.isdecimal():
            return True
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        before = len(self.ids)
        self.ids.add(digest)
        return len(self.ids) == before

    def enter(self, record: Record, notes: Collection[str] = ()) -> None:
        """Writes a record down; `notes` are what was put right as it was recognised."""
        self._count()
        record = self._with_slices(record)
        at = self.writer.put(record)
        if notes:
            self.writer.change(at, at, self.rows, record, "recognise", list(dict.fromkeys(notes)))
        self.writer.keep(at, self.rows)
        self.records += 1
        self.labelled = self.labelled or bool(record.labels)

    def refuse(self, record: Record, step: str, reason: str) -> None:
        """Writes a row down that cannot become a record."""
        self._count()
        record = replace(record, origin=self.number)
        self.writer.drop(self.writer.put(record), self.rows, record, step, reason)

    def _count(self) -> None:
        self.rows += 1
        self.sources[-1].read += 1
        self.writer.books.read[self.number] += 1
        if self.sources[-1].read % TOLD_EVERY == 0:
            self.after(f"read {self.sources[-1].path}", self.sources[-1].read, None)

    def _with_slices(self, record: Record) -> Record:
        """The record with every named column among its slices; one without it says so."""
        missing = {}
        for column in self.slices:
            if column not in record.slices:
                self.without[column] += 1
                labels = ", ".join(record.labels) if column == "label" else ""
                missing[column] = labels or MISSING_SLICE
        return replace(record, slices={**missing, **record.slices}) if missing else record

    def close_columns(self) -> None:
        """Says what is odd about columns and ids.

        Raises:
            DataError: a column that is to be kept stands nowhere.
        """
        for column in self.slices:
            if column in self.columns:
                if self.without[column]:
                    self.said.append(f"{self.without[column]} of {self.records} rows have no column {column!r}")
            elif column != "label" or not self.labelled:
                raise DataError(
                    f"there is no column {column!r}{did_you_mean(column, self.columns)}",
                    where="data.sources",
                    fix=f"name one of: {', '.join(map(repr, self.columns))}",
                )
        if self.renamed:
            self.said.append(f"{self.renamed} ids stood twice; their place was added to them")


def _gather(source: Source, files: Sequence[File], task: str | None, gathered: _Gathered) -> None:
    """Reads one source; its rows are recognised from the first ones and then made records."""
    formats = ", ".join(sorted({file.format for file in files}))
    encodings = ", ".join(sorted({found for file in files if (found := file.encoding)}))
    entry = SourceEntry(source.path, formats, encodings, "", {}, "", source.weight, source.split)
    gathered.sources.append(entry)
    rows = (row for file in files for row in file.rows())
    held = _first(rows)
    recognised = _recognised(held, source, task, entry)
    for row in held:
        _enter(row, recognised, source, gathered)
    for row in rows:
        _enter(row, recognised, source, gathered)
    gathered.after(f"read {source.path}", entry.read, entry.read)
    gathered.said += [_said(source, files, entry), *(note for file in files for note in file.notes)]


def _first(rows: Iterator[Row | Broken]) -> list[Row | Broken]:
    """As many rows as are looked at to recognise the others, and the broken ones among them."""
    held: list[Row | Broken] = []
    whole = 0
    for row in rows:
        held.append(row)
        whole += isinstance(row, Row)
        if whole == SAMPLE:
            break
    return held


def _said(source: Source, files: Sequence[File], entry: SourceEntry) -> str:
    counted = f" ({len(files)} files)" if len(files) > 1 else ""
    read_as = f"{entry.format}, {entry.encoding}" if entry.encoding not in ("", "utf-8") else entry.format
    return f"{source.path}{counted}: {entry.read} rows of {read_as}; {entry.why}"


def _recognised(held: Sequence[Row | Broken], source: Source, task: str | None, entry: SourceEntry) -> Recognised:
    rows = [row for row in held if isinstance(row, Row)]
    if held and not rows:
        broken = [row for row in held if isinstance(row, Broken)]
        reasons = Counter(row.reason for row in broken)
        said = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
        raise DataError(
            f"none of its {len(held)} rows can be read: {said}; the first is {broken[0].excerpt[:80]!r}",
            where=broken[0].where,
            fix="mend the file, or write the `format` it really has",
        )
    try:
        recognised = recognise(rows, source.map, task)
    except DataError as error:
        raise DataError(error.what, where=error.where or source.path, fix=error.fix) from error
    entry.shape, entry.columns, entry.why = recognised.shape, dict(recognised.columns), recognised.said()
    return recognised


def _enter(row: Row | Broken, recognised: Recognised, source: Source, gathered: _Gathered) -> None:
    """Makes a row a record, or enters why it is none."""
    if isinstance(row, Broken):
        gathered.refuse(Record(row.where, row.where, text=row.excerpt), "read", row.reason)
        return
    gathered.columns.update(dict.fromkeys(row.values))
    notes: list[str] = []
    try:
        record = to_record(row, recognised, gathered.slices, source.weight, notes.append)
    except BadRow as bad:
        lost = Record(row.where, row.where, text=excerpt(repr(row.values)))
        gathered.refuse(lost, "recognise", bad.reason)
        return
    name = record.id if record.id == row.where else gathered.unique(record.id, row.where)
    gathered.enter(replace(record, id=name, origin=gathered.number), notes)


# What is replayed -------------------------------------------------------------------------------


def _weighing(source: Source, mixture: Mixture | None) -> Source:
    """The source as its rows are weighed: where a mixture samples by weight, all count the same in the loss."""
    sampled = mixture is not None and mixture.weight == "sampling"
    return source.model_copy(update={"weight": 1.0}) if sampled else source


def _gather_prepared(said: str, path: Path, gathered: _Gathered) -> None:
    """Takes over the training rows of a run, which need not be recognised again."""
    entry = SourceEntry(said, "parquet", "", "", {}, "the training rows of a run, as it prepared them", 1.0, None)
    gathered.sources.append(entry)
    shapes: Counter[str] = Counter()
    for record in iter_records(path):
        shapes[record.shape] += 1
        gathered.enter(replace(record, id=gathered.unique(record.id, said), origin=gathered.number))
    entry.shape = shapes.most_common(1)[0][0]
    gathered.said.append(f"{said}: {entry.read} rows; {entry.why}")
