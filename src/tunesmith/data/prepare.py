"""From sources to splits to examples, with every row and token entered in the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import cast

import numpy as np

from tunesmith.data.disk.spool import Ints, Records, Spool, joined
from tunesmith.data.encode.example import Encoded
from tunesmith.data.encode.tokenize import Codec
from tunesmith.data.ledger import Ledger, SourceEntry
from tunesmith.data.passes.curate import write
from tunesmith.data.passes.gather import Older, gather
from tunesmith.data.passes.stage import Stage, StageWriter
from tunesmith.data.passes.survey import Survey, facts_of
from tunesmith.data.passes.workshop import After, Workshop, code, silent
from tunesmith.data.room import Findings, Mapper, Room, telling
from tunesmith.data.split import LEFT_OUT, SPLITS, Pool, assign, refuse_leaks
from tunesmith.data.steps import Step
from tunesmith.errors import DataError
from tunesmith.part import STEPS
from tunesmith.records import Record
from tunesmith.runs import fingerprint
from tunesmith.spec.sections import Data

_DEFAULT_STEPS = ("clean", "exact_dedup")
_TRAIN = 2
_RANKS: dict[Pool | None, int] = {"test": 0, "validation": 1, "replay": 3}
"""Which rows come first, by what their source is for; those that are divided count as rows to train on."""
HELD_OUT = "stands among the validation or test rows"


@dataclass(frozen=True)
class Collected:
    """Rows that may be trained on and tested with, and the books about them."""

    splits: dict[Pool, Records]
    """`replay` only where something is replayed."""
    survey: Survey
    """Their shapes, labels and columns."""
    ledger: Ledger
    said: list[str]
    """What was recognised and done, for people, one line each."""


def collect(
    data: Data,
    task: str | None = None,
    keep: Collection[str] = (),
    older: Sequence[Older] = (),
    shop: Workshop | None = None,
) -> Collected:
    """Reads every source, recognises its columns, applies the steps and divides the rows.

    What stages replay goes the same way and is not divided; a row of it that equals one of the others is left out.

    Args:
        data: the spec's section.
        task: the goal's task.
        keep: columns to keep as slices; those that `data.split` and steps name are kept too.
        older: what stages replay, in their order.
        shop: where and with what it is done; what is found in its cache is not done again.

    Raises:
        DataError: a source is missing or unreadable, not recognised, lacks a column, or too small to be divided.
        GateFailed: too many rows would be lost, or rows stand in two splits.
    """
    return _Collecting(data, task, keep, older, shop or Workshop()).collected()


class _Collecting:
    """The way from sources to splits. Every pass over the rows is a stage, named by all that can change it."""

    def __init__(
        self, data: Data, task: str | None, keep: Collection[str], older: Sequence[Older], shop: Workshop
    ) -> None:
        self.data, self.task, self.older, self.shop = data, task, older, shop
        self.ledger = Ledger(data.max_dropped.value, task)
        self.steps = [cast(Step, STEPS.make(step)) for step in (_DEFAULT_STEPS if data.steps is None else data.steps)]
        named = [*keep, *data.split.columns, *chain(*(step.columns() for step in self.steps))]
        made = set(chain(*(step.makes() for step in self.steps)))
        self.columns = list(dict.fromkeys(name for name in named if name and name not in made))
        self.print = fingerprint(["data", code(), data.encrypt])
        self.said: list[str] = []
        self.num_rows = 0

    def collected(self) -> Collected:
        """Everything, in order."""
        records = self._read()
        for step in self.steps:
            if step.rows == "all":
                kept = self._step(step, self._held_out_first(records))
                records = kept.take(np.argsort(kept.rows, kind="stable"))
        self.ledger.refuse_losses()
        splits = self._divided(records)
        self.ledger.refuse_losses()
        self.ledger.refuse_nothing(len(splits["train"]))
        for step in self.steps:
            if step.rows == "train":
                held_out = joined([splits["validation"], splits["test"]])
                splits["train"] = self._step(step, splits["train"], held_out)
        surveys = {name: self._survey(found) for name, found in splits.items()}
        self.ledger.close(splits, {name: survey.labels for name, survey in surveys.items()})
        sizes = ", ".join(f"{len(found)} {name}" for name, found in splits.items() if len(found))
        made = sum(source.made for source in self.ledger.sources)
        of = f"{self.ledger.read} rows" + (f" and {made} made of them" if made else "")
        self.said.append(f"{self.ledger.kept} of {of} kept: {sizes}")
        self.ledger.notes += self.said
        whole = Survey()
        for survey in surveys.values():
            whole.join(survey)
        return Collected(splits, whole, self.ledger, self.said)

    def _pass(
        self, name: object, fill: Callable[[Path], None], before: tuple[Spool, ...], *, chosen: bool = False
    ) -> Stage:
        """A pass over rows that lie in the files `before`: as it was kept, or done now."""
        self.print = fingerprint([self.print, name])
        if self.shop.cache.find(self.print) is None:
            with self.shop.cache.filling(self.print) as folder:
                fill(folder)
        found = self.shop.cache.find(self.print)
        assert found is not None
        stage = Stage(found, before, self.shop.cache.holder, sealed=self.data.encrypt)
        self.num_rows += sum(stage.books.read.values()) + sum(stage.books.made.values())
        if not self.ledger.sources:
            self.ledger.sources = [SourceEntry(**source) for source in stage.facts["sources"]]
        self.ledger.enter(stage, chosen=chosen)
        return stage

    def _read(self) -> Records:
        data, shop = self.data, self.shop
        sources = [source.model_dump(mode="json") for source in data.sources]
        weighs = data.mixture.weight if data.mixture else None
        older = [each.said for each in self.older]

        def fill(folder: Path) -> None:
            gather(data, shop.folder, self.task, self.columns, self.older, folder, shop.after, shop.reader)

        stage = self._pass([sources, weighs, older, self.task, self.columns, list(shop.contents)], fill, ())
        self.said += stage.facts["said"]
        return stage.kept

    def _origins(self, records: Records) -> Ints:
        """The number of each record's source: rows are numbered source by source."""
        ends = np.cumsum([source.read for source in self.ledger.sources])
        return np.searchsorted(ends, records.rows, side="left")

    def _held_out_first(self, records: Records) -> Records:
        """Rows fixed to test and validation go first, so that of two copies the training row is lost; replayed rows go
        last of all: of a copy among the new ones it is the older that goes."""
        return records.take(np.argsort(self._ranks(records), kind="stable"))

    def _ranks(self, records: Records) -> Ints:
        by_source = np.array([_RANKS.get(source.split, _TRAIN) for source in self.ledger.sources], np.int64)
        return by_source[self._origins(records)]

    def _step(self, step: Step, records: Records, held_out: Sequence[Record] = ()) -> Records:
        """Puts records through a step."""
        ranks = self._ranks(records) if step.rows == "all" else np.zeros(0)
        shop, told = self.shop, f"step {step.kind}"
        room = Room(
            seed=shop.seed,
            models=shop.models,
            held_out=held_out,
            num_held_out=int((ranks < _TRAIN).sum()),
            task=self.task,
            folder=shop.folder,
            vault=shop.vault,
            mapper=shop.mapper,
            after=partial(shop.after, told),
            looking=partial(shop.after, f"{told}, looking"),
        )
        fill = partial(write, step, records, room, first_new=self.num_rows + 1, sealed=self.data.encrypt)
        stage = self._pass([step.settings(), shop.prints(step)], fill, records.spools, chosen=step.chooses)
        shop.after(told, len(records), len(records))
        earlier = sum(done["dropped"] + done["changed"] for done in self.ledger.steps)
        if step.hides() and earlier:
            self.said.append(
                f"{step.kind} comes after other steps: of {earlier} rows that those dropped or changed, the run keeps"
                f" what they said before, with what {step.kind} takes out; put {step.kind} first"
            )
        self.ledger.enter_step(step.settings(), len(records), stage)
        self.said += [f"{step.kind}: {note}" for note in stage.findings.notes]
        return stage.kept

    def _divided(self, records: Records) -> dict[Pool, Records]:
        origins = self._origins(records)
        own = records.take(origins < len(self.data.sources))
        by_source = [source.split for source in self.data.sources]
        named = zip(own, self._origins(own).tolist(), strict=True) if any(by_source) else ()
        fixed = {record.id: name for record, origin in named if (name := by_source[origin])}

        def fill(folder: Path) -> None:
            room = Room(
                seed=self.shop.seed,
                mapper=self.shop.mapper,
                after=partial(self.shop.after, "split"),
                looking=partial(self.shop.after, "split, looking for copies"),
            )
            places = assign(own, self.data.split, fixed, room)
            with StageWriter(folder, own.spools, sealed=self.data.encrypt) as writer:
                for number, place in enumerate(places.tolist()):
                    at, row = int(own.addresses[number]), int(own.rows[number])
                    if place in LEFT_OUT:
                        writer.drop(at, row, own[number], "split", LEFT_OUT[place])
                    else:
                        writer.keep(at, row)
                writer.finish(room.findings, 0.0)
            places[places >= 0].tofile(folder / "places.i1")

        stage = self._pass(["split", self.data.split.model_dump(mode="json"), by_source], fill, own.spools)
        self.said += stage.findings.notes
        places = np.fromfile(stage.folder / "places.i1", np.int8)
        splits: dict[Pool, Records] = {name: stage.kept.take(places == at) for at, name in enumerate(SPLITS)}
        refuse_leaks({name: splits[name] for name in SPLITS}, partial(self.shop.after, "split, looking for leaks"))
        if self.older:
            splits["replay"] = self._replayed(records.take(origins >= len(self.data.sources)), splits)
        return splits

    def _replayed(self, records: Records, splits: Mapping[Pool, Records]) -> Records:
        """The older rows without those that equal a row held out."""
        held_out = {record.content() for record in joined([splits["validation"], splits["test"]])}

        def fill(folder: Path) -> None:
            with StageWriter(folder, records.spools, sealed=self.data.encrypt) as writer:
                for place, record in enumerate(records):
                    at, row = int(records.addresses[place]), int(records.rows[place])
                    if record.content() in held_out:
                        writer.drop(at, row, record, "replay", HELD_OUT)
                    else:
                        writer.keep(at, row)
                writer.finish(Findings(), 0.0)

        kept = self._pass(["replay", fingerprint(sorted(held_out))], fill, records.spools).kept
        left = set(self._origins(kept).tolist())
        for number, each in enumerate(self.older, len(self.data.sources)):
            if number not in left:
                raise DataError(
                    f"{each.said} has no row left to replay: all of them stand among the new ones or were dropped",
                    where=each.where,
                    fix="leave replay out, or name older data that the new do not hold",
                )
        return kept

    def _survey(self, records: Records) -> Survey:
        survey = Survey()
        found = (self.shop.mapper or map)(facts_of, records)
        for facts in telling(found, partial(self.shop.after, "survey"), len(records)):
            survey.add(facts)
        return survey


# Encoding ---------------------------------------------------------------------------------------


def encode(
    splits: Mapping[Pool, Records],
    codec: Codec,
    ledger: Ledger,
    render: Callable[[Pool, Sequence[Record]], Sequence[Record]] = lambda pool, records: records,
    after: After = silent,
    mapper: Mapper = map,
) -> tuple[dict[Pool, Encoded], dict[Pool, Records]]:
    """Encodes every split and enters its tokens; rows the codec cannot take are entered as dropped.

    Args:
        render: makes records of a split what the codec reads, for example conversations.
        mapper: calls a function on records, on several cores; one after the other when left out.

    Returns:
        What became of each split, and the records of each that are left; the examples' places are among the given.

    Raises:
        DataError: rows are too long and the codec was told to refuse them.
        GateFailed: nothing would be trained, or answers would never stop.
    """
    total = sum(map(len, splits.values()))
    done = 0

    def told(count: int) -> None:
        after("tokenize", done + count, total)

    found: dict[Pool, Encoded] = {}
    left: dict[Pool, Records] = {}
    labels: dict[Pool, Counter[str]] = {}
    for name, records in splits.items():
        encoded = codec.encode_many(render(name, records), told, mapper)
        done += len(records)
        found[name] = encoded
        kept = np.ones(len(records), np.bool_)
        kept[encoded.gone] = False
        left[name] = records.take(kept)
        ledger.enter_undone(records.take(encoded.gone), encoded.dropped)
        lost = Counter(label for record in records.take(encoded.gone) for label in facts_of(record).labels)
        labels[name] = Counter(ledger.splits[name].labels) - lost
    ledger.close(left, labels)
    for name, encoded in found.items():
        counted = telling(encoded.examples, partial(after, "tokenize, counting"), len(encoded.examples))
        ledger.enter_tokens(name, counted, need=codec.need, stop_ids=codec.stop_ids, bos_id=codec.bos_id)
    ledger.notes += [note for note in codec.notes if note not in ledger.notes]
    ledger.refuse()
    return found, left
