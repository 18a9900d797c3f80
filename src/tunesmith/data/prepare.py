"""From sources to splits to examples, with every row and token entered in the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from tunesmith.data.curate import apply
from tunesmith.data.encode.example import Encoded
from tunesmith.data.encode.tokenize import Codec
from tunesmith.data.ledger import Ledger, SourceEntry
from tunesmith.data.read.find import File, find
from tunesmith.data.read.recognised import Recognised
from tunesmith.data.read.row import MISSING_SLICE, to_record
from tunesmith.data.read.shape import SAMPLE, recognise
from tunesmith.data.read.values import BadRow
from tunesmith.data.readers import Broken, Row, excerpt
from tunesmith.data.split import SPLITS, Pool, refuse_leaks, split
from tunesmith.data.steps import Changed, Dropped, Step
from tunesmith.data.tables import read_records
from tunesmith.errors import DataError, did_you_mean
from tunesmith.part import STEPS
from tunesmith.records import Record, Shape
from tunesmith.spec.sections import Data, Mixture, Source, Split

After = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is done, and how much there is, if that is known."""

_DEFAULT_STEPS = ("clean", "exact_dedup")


HELD_OUT = "stands among the validation or test rows"


@dataclass(frozen=True)
class Older:
    """What a stage replays."""

    where: str
    """The field of the spec that says so."""
    said: str
    """The source as the spec names it."""
    prepared: Path | None
    """The training rows a run has prepared; None where it is a file to be read."""


@dataclass(frozen=True)
class Collected:
    """Rows that may be trained on and tested with, and the books about them."""

    splits: dict[Pool, list[Record]]
    """`replay` only where something is replayed."""
    labels: tuple[str, ...]
    """Labels of whole rows, numbers in their order, else by the alphabet."""
    span_labels: tuple[str, ...]
    """Labels of stretches of the rows."""
    shape: Shape
    """The shape of most rows."""
    ledger: Ledger
    said: list[str]
    """What was recognised and done, for people, one line each."""

    @property
    def dropped(self) -> list[Dropped]:
        return self.ledger.dropped_rows

    @property
    def changed(self) -> list[Changed]:
        return self.ledger.changed_rows


def collect(
    data: Data,
    folder: Path,
    task: str | None = None,
    keep: Collection[str] = (),
    older: Sequence[Older] = (),
    after: After = lambda stage, done, total: None,
) -> Collected:
    """Reads every source, recognises its columns, applies the steps and divides the rows.

    What stages replay goes the same way and is not divided; a row of it that equals one of the others is left out.

    Args:
        data: the spec's section.
        folder: what relative paths start from, the spec's folder.
        task: the goal's task.
        keep: columns to keep as slices; those that `data.split` names are kept too.
        older: what stages replay, in their order.
        after: told of the progress.

    Raises:
        DataError: a source is missing or unreadable, not recognised, lacks a column, or too small to be divided.
        GateFailed: too many rows would be lost, or rows stand in two splits.
    """
    ledger = Ledger(data.max_dropped.value, task)
    columns = _columns(data, keep)
    gathered = _Gathered(ledger)
    for source in data.sources:
        _gather(_weighing(source, data.mixture), folder, task, columns, gathered, after)
    for each in older:
        if each.prepared is None:
            _gather(Source(path=each.said), folder, task, columns, gathered, after)
        else:
            _gather_prepared(each.said, each.prepared, gathered)
        ledger.sources[-1].split = "replay"
    records = _with_slices(gathered, columns)
    records = _through_steps(records, data, gathered, after)
    ledger.refuse_losses()
    own = [record for record in records if record.origin < len(data.sources)]
    fixed = {record.id: gathered.fixed[record.id] for record in own if record.id in gathered.fixed}
    divided = split(own, data.split, fixed)
    refuse_leaks(divided)
    splits: dict[Pool, list[Record]] = {name: divided[name] for name in SPLITS}
    if older:
        splits["replay"] = _replayed(records[len(own) :], divided, ledger)
        _refuse_empty(older, len(data.sources), splits["replay"])
    ledger.close(splits)
    sizes = ", ".join(f"{len(found)} {name}" for name, found in splits.items() if found)
    gathered.said.append(f"{ledger.kept} of {ledger.read} rows kept: {sizes}")
    ledger.notes += gathered.said
    return Collected(
        splits,
        _sorted_labels(label for record in records for label in record.labels),
        _sorted_labels(span.label for record in records for span in record.spans or ()),
        Counter(record.shape for record in records).most_common(1)[0][0],
        ledger,
        gathered.said,
    )


def encode(
    splits: Mapping[Pool, Sequence[Record]],
    codec: Codec,
    ledger: Ledger,
    after: After = lambda stage, done, total: None,
) -> dict[Pool, Encoded]:
    """Encodes every split and enters its tokens; rows the codec cannot take are entered as dropped.

    Raises:
        DataError: rows are too long and the codec was told to refuse them.
        GateFailed: nothing would be trained, or answers would never stop.
    """
    total = sum(map(len, splits.values()))
    done = 0
    found: dict[Pool, Encoded] = {}
    left: dict[Pool, list[Record]] = {}
    for name, records in splits.items():
        encoded = codec.encode_many(records, lambda count, before=done: after("tokenize", before + count, total))  # type: ignore[misc]
        done += len(records)
        found[name] = encoded
        for dropped in encoded.dropped:
            ledger.enter_dropped(dropped)
        gone = {dropped.record.id for dropped in encoded.dropped}
        left[name] = [record for record in records if record.id not in gone]
    ledger.close(left)
    for name, encoded in found.items():
        ledger.enter_tokens(name, encoded.examples, need=codec.need, stop_ids=codec.stop_ids, bos_id=codec.bos_id)
    ledger.notes += [note for note in codec.notes if note not in ledger.notes]
    ledger.refuse()
    return found


# Reading ----------------------------------------------------------------------------------------


@dataclass
class _Gathered:
    """What reading the sources has brought together."""

    ledger: Ledger
    records: list[Record] = field(default_factory=list)
    fixed: dict[str, Split] = field(default_factory=dict)
    """Record id -> the split its source is fixed to."""
    said: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    renamed: int = 0
    columns: dict[str, None] = field(default_factory=dict)
    """Every column seen, in order."""

    def unique(self, name: str, where: str) -> str:
        """An id no earlier row has: `name`, or `name` with the row's place."""
        if name in self.ids:
            self.renamed += 1
            name, number = f"{name}@{where}", 1
            while name in self.ids:
                number += 1
                name = f"{name.partition('#')[0]}#{number}"
        self.ids.add(name)
        return name


def _columns(data: Data, keep: Collection[str]) -> list[str]:
    named = [*keep, data.split.stratify, data.split.group]
    return list(dict.fromkeys(name for name in named if name))


def _gather(
    source: Source, folder: Path, task: str | None, columns: Sequence[str], gathered: _Gathered, after: After
) -> None:
    """Reads one source; its rows are recognised from the first ones and then made records."""
    files = find(source, folder)
    number = len(gathered.ledger.sources)
    formats = ", ".join(sorted({file.format for file in files}))
    encodings = ", ".join(sorted({found for file in files if (found := file.encoding)}))
    entry = SourceEntry(source.path, formats, encodings, "", {}, "", source.weight, source.split)
    gathered.ledger.sources.append(entry)
    held: list[Row | Broken] = []
    recognised: Recognised | None = None
    for row in (row for file in files for row in file.rows()):
        if recognised is None:
            held.append(row)
            if sum(isinstance(each, Row) for each in held) < SAMPLE:
                continue
            recognised = _recognised(held, source, task, entry)
            for each in held:
                _enter(each, recognised, number, source, columns, gathered)
            held = []
        else:
            _enter(row, recognised, number, source, columns, gathered)
        if entry.read % 1000 == 0:
            after(f"read {source.path}", entry.read, None)
    if recognised is None:
        recognised = _recognised(held, source, task, entry)
        for each in held:
            _enter(each, recognised, number, source, columns, gathered)
    after(f"read {source.path}", entry.read, entry.read)
    gathered.said += [_said(source, files, entry), *(note for file in files for note in file.notes)]


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


def _enter(
    row: Row | Broken,
    recognised: Recognised,
    number: int,
    source: Source,
    columns: Sequence[str],
    gathered: _Gathered,
) -> None:
    """Makes a row a record, or enters why it is none."""
    ledger = gathered.ledger
    if isinstance(row, Broken):
        name = gathered.unique(row.where, row.where)
        ledger.enter_read(name, number)
        ledger.enter_dropped(Dropped(Record(name, row.where, text=row.excerpt), "read", row.reason))
        return
    gathered.columns.update(dict.fromkeys(row.values))
    notes: list[str] = []
    try:
        record = to_record(row, recognised, columns, source.weight, notes.append)
        record = replace(record, origin=number)
    except BadRow as bad:
        name = gathered.unique(row.where, row.where)
        ledger.enter_read(name, number)
        ledger.enter_dropped(Dropped(Record(name, row.where, text=excerpt(repr(row.values))), "recognise", bad.reason))
        return
    if record.id in gathered.ids:
        record = replace(record, id=gathered.unique(record.id, row.where))
    else:
        gathered.ids.add(record.id)
    ledger.enter_read(record.id, number)
    for reason in dict.fromkeys(notes):
        ledger.enter_changed(Changed(record, record, "recognise", reason))
    if source.split is not None:
        gathered.fixed[record.id] = source.split
    gathered.records.append(record)


def _with_slices(gathered: _Gathered, columns: Sequence[str]) -> list[Record]:
    """The records with every named column among their slices; rows without it say so."""
    records = gathered.records
    for column in columns:
        if column in gathered.columns:
            without = sum(column not in record.slices for record in records)
            if without:
                gathered.said.append(f"{without} of {len(records)} rows have no column {column!r}")
        elif column != "label" or not any(record.labels for record in records):
            raise DataError(
                f"there is no column {column!r}{did_you_mean(column, gathered.columns)}",
                where="data.sources",
                fix=f"name one of: {', '.join(map(repr, gathered.columns))}",
            )
    if gathered.renamed:
        gathered.said.append(f"{gathered.renamed} ids stood twice; their place was added to them")

    def full(record: Record) -> Record:
        label = ", ".join(record.labels) or MISSING_SLICE
        named = {c: label if c == "label" and c not in gathered.columns else MISSING_SLICE for c in columns}
        return replace(record, slices={**named, **record.slices})

    return [full(record) for record in records] if columns else records


# What is replayed -------------------------------------------------------------------------------


def _weighing(source: Source, mixture: Mixture | None) -> Source:
    """The source as its rows are weighed: where a mixture samples by weight, all count the same in the loss."""
    sampled = mixture is not None and mixture.weight == "sampling"
    return source.model_copy(update={"weight": 1.0}) if sampled else source


def _gather_prepared(said: str, path: Path, gathered: _Gathered) -> None:
    """Takes over the training rows of a run, which need not be recognised again."""
    number = len(gathered.ledger.sources)
    records = read_records(path)
    shape = Counter(record.shape for record in records).most_common(1)[0][0]
    entry = SourceEntry(said, "parquet", "", shape, {}, "the training rows of a run, as it prepared them", 1.0, None)
    gathered.ledger.sources.append(entry)
    for record in records:
        record = replace(record, id=gathered.unique(record.id, said), origin=number)
        gathered.ledger.enter_read(record.id, number)
        gathered.records.append(record)
    gathered.said.append(f"{said}: {entry.read} rows; {entry.why}")


def _replayed(records: Sequence[Record], splits: Mapping[Split, Sequence[Record]], ledger: Ledger) -> list[Record]:
    """The older rows without those that equal a row held out."""
    held_out = {record.content() for name in ("validation", "test") for record in splits[name]}
    for record in records:
        if record.content() in held_out:
            ledger.enter_dropped(Dropped(record, "replay", HELD_OUT))
    return [record for record in records if record.content() not in held_out]


def _refuse_empty(older: Sequence[Older], first: int, records: Sequence[Record]) -> None:
    found = {record.origin for record in records}
    for number, each in enumerate(older, first):
        if number not in found:
            raise DataError(
                f"{each.said} has no row left to replay: all of them stand among the new ones or were dropped",
                where=each.where,
                fix="leave replay out, or name older data that the new do not hold",
            )


# Steps ------------------------------------------------------------------------------------------


def _through_steps(records: list[Record], data: Data, gathered: _Gathered, after: After) -> list[Record]:
    """Applies the steps. Rows fixed to test and validation go first, so that of two copies the training row is lost."""
    steps = [cast(Step, STEPS.make(step)) for step in (_DEFAULT_STEPS if data.steps is None else data.steps)]
    place = {record.id: at for at, record in enumerate(records)}
    first = {"test": 0, "validation": 1}
    # Replayed rows come last of all: of a copy among the new ones it is the older that goes.
    records = sorted(
        records,
        key=lambda record: (
            record.origin >= len(data.sources),
            first.get(gathered.fixed.get(record.id, "train"), 2),
        ),
    )
    for number, step in enumerate(steps):
        after(f"step {step.kind}", number, len(steps))
        result = apply(step, records)
        for dropped in result.dropped:
            gathered.ledger.enter_dropped(dropped)
        for changed in result.changed:
            gathered.ledger.enter_changed(changed)
        records = result.kept
    after("steps", len(steps), len(steps))
    return sorted(records, key=lambda record: place[record.id])


def _sorted_labels(labels: Iterable[str]) -> tuple[str, ...]:
    found = set(labels)
    try:
        return tuple(sorted(found, key=lambda label: (float(label), label)))
    except ValueError:
        return tuple(sorted(found))
