"""Reads the sources: recognises what each holds and writes its rows down as records."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from itertools import chain
from pathlib import Path

from tunesmith.data.disk.tables import iter_records
from tunesmith.data.ledger import SourceEntry
from tunesmith.data.passes.stage import StageWriter
from tunesmith.data.passes.workshop import After
from tunesmith.data.read.find import File, find
from tunesmith.data.read.interpret import Interpreter, Read, renamed
from tunesmith.data.read.recognised import Recognised
from tunesmith.data.read.shape import SAMPLE, recognise
from tunesmith.data.readers import Broken, Row, Stretch
from tunesmith.data.room import TOLD_EVERY, Findings, Mapper
from tunesmith.errors import DataError, did_you_mean
from tunesmith.records import Record
from tunesmith.spec.sections import Data, Mixture, Source

LARGE = 16 * 2**20
"""Bytes from which on files of lines are read by several processes."""
STRETCH = 2**20
"""Bytes of them read at once."""
_AS_IT_WAS = Recognised("text", {}, "")
"""For rows that a run has prepared, in which nothing is to be recognised."""


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
    mapper: Mapper | None = None,
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
        mapper: calls functions in several processes; large files of lines are read by them.

    Raises:
        DataError: a source is missing or unreadable, not recognised, or lacks a column.
    """
    started = time.monotonic()
    sources = [_weighing(source, data.mixture) for source in data.sources]
    sources += [Source(path=each.said) for each in older if each.prepared is None]
    files = {source.path: find(source, folder) for source in sources}
    shown = frozenset(file.shown for found in files.values() for file in found)
    with StageWriter(into, (), sealed=data.encrypt) as writer:
        gathered = _Gathered(writer, tuple(columns), shown, after, mapper)
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
    mapper: Mapper | None
    sources: list[SourceEntry] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    rows: int = 0
    seen: set[str] = field(default_factory=set)
    """Files that were read."""
    again: bool = False
    """Whether the source being read names one of them once more."""
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

    def enter(self, read: Read) -> None:
        """Writes down what a row came to."""
        self.rows += 1
        entry = self.sources[-1]
        entry.read += 1
        self.writer.books.read[self.number] += 1
        if entry.read % TOLD_EVERY == 0:
            self.after(f"read {entry.path}", entry.read, None)
        own = read.id != read.where or self.again
        if read.lost is None and own and (name := self.unique(read.id, read.where)) != read.id:
            read = renamed(read, name)
        at = self.writer.put_text(read.text)
        record = Record(read.id, read.where, origin=self.number)
        if read.lost is not None:
            self.writer.drop(at, self.rows, record, *read.lost)
            return
        if read.notes:
            self.writer.change(at, at, self.rows, record, "recognise", read.notes)
        self.writer.keep(at, self.rows)
        self.records += 1
        self.without.update(read.missing)
        self.labelled = self.labelled or read.labelled

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
    named = {file.shown for file in files}
    gathered.again = bool(named & gathered.seen)
    gathered.seen |= named
    rows = (row for file in files for row in file.rows())
    held = _first(rows)
    recognised = _recognised(held, source, task, entry)
    interpreter = Interpreter(recognised, gathered.slices, source.weight, gathered.number)
    if stretches := _stretches(files) if gathered.mapper else []:
        assert gathered.mapper is not None
        for reads, columns in gathered.mapper(interpreter.stretch, stretches):
            gathered.columns.update(columns)
            for read in reads:
                gathered.enter(read)
    else:
        for read in interpreter.rows(chain(held, rows), gathered.columns):
            gathered.enter(read)
    gathered.after(f"read {source.path}", entry.read, entry.read)
    gathered.said += [_said(source, files, entry), *(note for file in files for note in file.notes)]


def _stretches(files: Sequence[File]) -> list[tuple[File, Stretch]]:
    """The files in stretches for several processes; none where one cannot be cut or there is little to read."""
    if any(file.reader.kind == "hub" for file in files) or sum(f.path.stat().st_size for f in files) < LARGE:
        return []
    cut = [file.stretches(STRETCH) for file in files]
    return [(file, one) for file, found in zip(files, cut, strict=True) for one in found] if all(cut) else []


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
    interpreter = Interpreter(_AS_IT_WAS, gathered.slices, 1.0, gathered.number)
    for record in iter_records(path):
        shapes[record.shape] += 1
        read = interpreter.read(record)
        gathered.enter(renamed(read, gathered.unique(record.id, said)))
    entry.shape = shapes.most_common(1)[0][0]
    gathered.said.append(f"{said}: {entry.read} rows; {entry.why}")
