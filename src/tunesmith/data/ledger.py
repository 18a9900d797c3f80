"""The ledger: what became of every row and every token, before the first step is trained.

Rows are entered pass by pass as they are read, dropped and made; what is kept is the rest, and closing the books
compares it with the rows that are really there. A ledger is written as JSON (`data/ledger.json`) and refuses
to go on when the training signal is damaged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from tunesmith.data.disk.spool import Ints, Records
from tunesmith.data.encode.counted import TokenSums, quantiles
from tunesmith.data.encode.example import Example, Need
from tunesmith.data.passes.stage import Stage, Tallies, Tally, tallies_from_json, tallies_to_json
from tunesmith.data.split import Pool
from tunesmith.data.steps import Changed, Dropped
from tunesmith.data.steps.exact_dedup import CONFLICT, SAME
from tunesmith.data.steps.gather_votes import MERGED
from tunesmith.errors import GateFailed


@dataclass
class SourceEntry:
    """One source: what it was recognised as, and its rows."""

    path: str
    format: str
    encoding: str
    shape: str
    columns: dict[str, str]
    why: str
    weight: float
    split: Pool | None
    read: int = 0
    dropped: int = 0
    lost: int = 0
    """Of the dropped those that no step left out on purpose."""
    made: int = 0
    """New rows that steps made of its rows."""

    @property
    def kept(self) -> int:
        return self.read + self.made - self.dropped


@dataclass
class SplitEntry:
    """Rows and, once they are encoded, tokens of one split."""

    rows: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    examples: int | None = None
    tokens: dict[str, dict[str, int]] = field(default_factory=dict)
    truncated: dict[str, int] = field(default_factory=dict)
    stop: dict[str, int] = field(default_factory=dict)
    bos: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    answer_lengths: dict[str, int] = field(default_factory=dict)
    bent: int = 0


@dataclass(frozen=True)
class EpochEntry:
    """What an epoch holds of one source."""

    source: str
    rows: int
    """Examples there are."""
    drawn: int
    """Examples an epoch holds, those seen several times counted as often."""
    unseen: int
    """Examples an epoch leaves out; their turn comes in a later one."""


class Ledger:
    """The books of one data set.

    Args:
        max_dropped: the largest share of rows that may be lost, 0 to 1.
        task: the goal's task, where it is known.

    `to_json` gives:
        sources     [{path, format, encoding, shape, columns: {role: column}, why, weight, split, read, dropped, lost,
                    made, kept}]
        rows        {read, made, dropped, kept, changed}; read + made = kept + dropped
        dropped     [{step, reason, count, rows: [where, at most 5]}]
        changed     [{step, reason, count, rows}]
        made        [{step, reason, count, rows}]
        duplicates  {same, conflicts}: exact copies dropped; of them with another label
        steps       [{step, settings, read, kept, dropped, changed, made, seconds, findings: {distributions, notes,
                    examples, figures}}]
        splits      {split: {rows, labels: {label: rows}, examples, tokens: {role: {total, trained}},
                    truncated: {rows, tokens}, stop: {answers, trained}, bos: {tokens at the start: examples},
                    lengths and answer_lengths: {p50, p95, p99, max}, bent: rows whose spans were widened}}
        epoch       [{source, rows, drawn, unseen}]: of each source what an epoch of the last stage holds; rows are
                    examples here, and unseen ones wait for a later epoch
        notes       [text]
    """

    def __init__(self, max_dropped: float = 1.0, task: str | None = None) -> None:
        self.max_dropped = max_dropped
        self.task = task
        self.need: Need | None = None
        self.sources: list[SourceEntry] = []
        self.dropped: Tallies = {}
        self.changed: Tallies = {}
        self.made: Tallies = {}
        self.rows_changed = 0
        self.steps: list[dict[str, Any]] = []
        self.splits: dict[Pool, SplitEntry] = {}
        self.epoch: list[EpochEntry] = []
        self.notes: list[str] = []
        self.stages: list[Stage] = []
        """The passes themselves, with the rows they dropped and changed; not part of the JSON."""
        self._put_right: Ints = np.zeros(0, np.int64)
        self._undone: list[Dropped] = []

    # Rows -------------------------------------------------------------------------------------------

    @property
    def read(self) -> int:
        return sum(source.read for source in self.sources)

    @property
    def lost(self) -> int:
        return sum(source.dropped for source in self.sources)

    @property
    def kept(self) -> int:
        return sum(source.kept for source in self.sources)

    def enter(self, stage: Stage, *, chosen: bool = False) -> None:
        """Enters a pass over the rows: what it read, dropped, changed and made.

        Args:
            chosen: its rows were left out on purpose, and are no loss.
        """
        books = stage.books
        for name, counts in (("read", books.read), ("dropped", books.lost), ("made", books.made)):
            for origin, count in counts.items():
                setattr(self.sources[origin], name, getattr(self.sources[origin], name) + count)
        for origin, count in books.lost.items():
            self.sources[origin].lost += 0 if chosen else count
        for mine, theirs in ((self.dropped, books.dropped), (self.changed, books.changed), (self.made, books.added)):
            for key, tally in theirs.items():
                mine.setdefault(key, Tally()).join(tally)
        self._put_right = np.union1d(self._put_right, stage.put_right)
        self.rows_changed = len(self._put_right)
        self.stages.append(stage)

    def enter_step(self, settings: dict[str, Any], read: int, stage: Stage) -> None:
        """Enters what a data step did to `read` rows, and what it found."""
        books = stage.books
        made, dropped = sum(books.made.values()), sum(books.lost.values())
        counts = {"read": read, "kept": read - dropped, "dropped": dropped, "changed": len(np.unique(stage.put_right))}
        found = asdict(stage.findings)
        self.steps.append(
            {"step": settings["kind"], "settings": settings, **counts, "made": made, "seconds": stage.seconds,
             "findings": found}
        )  # fmt: skip

    def enter_undone(self, records: Records, dropped: Sequence[Dropped]) -> None:
        """Enters rows that could not be tokenised.

        Args:
            records: as they were kept until now.
            dropped: what was said of each, in the same order.
        """
        for record, why in zip(records, dropped, strict=True):
            self.sources[record.origin].dropped += 1
            self.sources[record.origin].lost += 1
            self.dropped.setdefault((why.step, why.reason), Tally()).add(record.source)
        self._undone += dropped

    def dropped_rows(self) -> Iterator[Dropped]:
        """The dropped records themselves."""
        return chain(chain.from_iterable(stage.dropped() for stage in self.stages), self._undone)

    def changed_rows(self) -> Iterator[Changed]:
        """The changed records themselves, before and after."""
        return chain.from_iterable(stage.changed() for stage in self.stages)

    def close(self, splits: Mapping[Pool, Records], labels: Mapping[Pool, Counter[str]]) -> None:
        """Enters the rows of each split and closes the books: every row is kept or dropped, and none stands twice.

        Args:
            labels: how many rows of each split carry each label.
        """
        for name, records in splits.items():
            entry = self.splits.setdefault(name, SplitEntry())
            counted = sorted(labels[name].items(), key=lambda pair: (-pair[1], pair[0]))
            entry.rows, entry.labels = len(records), dict(counted)
        rows = np.concatenate([records.rows for records in splits.values()])
        assert len(rows) == len(np.unique(rows)) == self.kept, (
            f"the ledger kept {self.kept} rows and the splits hold {len(rows)}"
        )

    # Tokens -----------------------------------------------------------------------------------------

    def enter_tokens(
        self, split: Pool, examples: Iterable[Example], *, need: Need, stop_ids: Sequence[int], bos_id: int | None
    ) -> None:
        """Enters every token of a split's examples.

        Args:
            stop_ids: the codec's; an answer whose last trained token is one of them teaches to stop.
            bos_id: the codec's; counted at the start of each example.
        """
        self.need = need
        entry = self.splits[split]
        sums = TokenSums(stop_ids, bos_id)
        for example in examples:
            sums.add(example)
        entry.examples = len(sums.lengths)
        entry.tokens = sums.by_role()
        entry.truncated, entry.bent = dict(sums.truncated), sums.bent
        entry.lengths = quantiles(sums.lengths)
        if need == "chat":
            entry.stop = {"answers": len(sums.answers), "trained": sums.stopped}
            entry.answer_lengths = quantiles(sums.answers)
        entry.bos = {str(number): sums.begins[number] for number in sorted(sums.begins)}

    # Gates ------------------------------------------------------------------------------------------

    def refuse_losses(self) -> None:
        """Stops when more than `max_dropped` of the rows would be lost.

        Raises:
            GateFailed: it names the reasons and rows.
        """
        # Of older rows those that stand among the new ones are left out, and may be all but a few.
        own = [source for source in self.sources if source.split != "replay"]
        read, lost = sum(source.read for source in own), sum(source.lost for source in own)
        # The votes of rows that were merged into another one are kept there.
        merged = sum(tally.count for (_, reason), tally in self.dropped.items() if reason == MERGED)
        read, lost = read - merged, lost - merged
        share = lost / read if read else 1.0
        if share > self.max_dropped or read == lost:
            found = [(key, tally) for key, tally in self.dropped.items() if key[1] != MERGED]
            most = sorted(found, key=lambda item: -item[1].count)[:3]
            said = "; ".join(f"{tally.count} {reason} ({_rows(tally)})" for (_, reason), tally in most)
            raise GateFailed(
                f"{lost} of {read} rows ({share:.0%}) would be lost: {said}",
                where="data",
                fix="mend those rows"
                + (
                    f", or raise data.max_dropped above {self.max_dropped:.0%}"
                    if lost < read
                    else " or the map of the source"
                ),
            )

    def refuse_nothing(self, rows: int) -> None:
        """Stops when none of the rows is left to train on.

        Raises:
            GateFailed: it names the last reason for which rows were dropped.
        """
        if not rows:
            why = "".join(
                f": {tally.count} {reason} ({_rows(tally)})" for (_, reason), tally in [*self.dropped.items()][-1:]
            )
            raise GateFailed(
                f"no row is left to train on{why}",
                where="data",
                fix="look at them with `tunesmith data SPEC --show dropped`; add rows, or change the step or split that"
                " takes them",
            )

    def refuse(self) -> None:
        """Stops when training could not teach what it should; looks at what has been entered so far.

        Raises:
            GateFailed: too many rows lost, one class only, no row, no trained token, or answers that never stop.
        """
        self.refuse_losses()
        entry = self.splits.get("train")
        if entry is None:
            return
        if (self.need == "label" or self.task == "classify") and len(entry.labels) < 2:
            raise GateFailed(
                f"all {entry.rows} rows to train on have the label {next(iter(entry.labels), 'none')!r}",
                where="data.sources",
                fix="add rows of at least one other label; a model learns nothing from one",
            )
        if entry.examples is not None:
            self._refuse_tokens(entry)

    def _refuse_tokens(self, entry: SplitEntry) -> None:
        trained = sum(counts["trained"] for counts in entry.tokens.values())
        lost = sorted(self.dropped.items(), key=lambda item: item[0][0] != "tokenize")[:1]
        why = "".join(f": {tally.count} {reason} ({_rows(tally)})" for (_, reason), tally in lost)
        if not entry.examples:
            raise GateFailed(
                f"no row is left to train on{why}",
                where="data.max_length",
                fix="raise data.max_length, or write `data.too_long: truncate`",
            )
        if self.need in ("chat", "text") and not trained:
            raise GateFailed(
                f"none of the {entry.examples} rows holds a token to train on{why}",
                where="data.max_length",
                fix="raise data.max_length, or look at `tunesmith check` for what the rows hold",
            )
        answers, stopped = entry.stop.get("answers", 0), entry.stop.get("trained", 0)
        if self.need == "chat" and stopped * 2 < answers:
            raise GateFailed(
                f"only {stopped} of {answers} answers end with a stop token; the model would not learn to stop",
                where="data.max_length",
                fix="raise data.max_length so that answers are not cut, or use a base with an end-of-text token",
            )

    # JSON -------------------------------------------------------------------------------------------

    def to_json(self, *, rows: bool = True) -> dict[str, Any]:
        """The ledger as plain JSON values, see the class; without what steps show of rows where `rows` is False."""
        steps = self.steps if rows else [{**s, "findings": {**s["findings"], "examples": {}}} for s in self.steps]
        copies = {reason: tally.count for (_, reason), tally in self.dropped.items() if reason in (SAME, CONFLICT)}
        return {
            "task": self.task,
            "need": self.need,
            "max_dropped": self.max_dropped,
            "sources": [{**asdict(source), "kept": source.kept} for source in self.sources],
            "rows": {
                "read": self.read,
                "made": sum(source.made for source in self.sources),
                "dropped": self.lost,
                "kept": self.kept,
                "changed": self.rows_changed,
            },
            "dropped": tallies_to_json(self.dropped),
            "changed": tallies_to_json(self.changed),
            "made": tallies_to_json(self.made),
            "steps": list(steps),
            "duplicates": {"same": copies.get(SAME, 0), "conflicts": copies.get(CONFLICT, 0)},
            "splits": {name: asdict(entry) for name, entry in self.splits.items()},
            "epoch": [asdict(entry) for entry in self.epoch],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Ledger:
        """The inverse of `to_json`."""
        ledger = cls(said["max_dropped"], said["task"])
        ledger.need = said["need"]
        ledger.sources = [
            SourceEntry(**{key: value for key, value in source.items() if key != "kept"}) for source in said["sources"]
        ]
        ledger.dropped, ledger.changed = tallies_from_json(said["dropped"]), tallies_from_json(said["changed"])
        ledger.made, ledger.steps = tallies_from_json(said.get("made", [])), list(said.get("steps", []))
        ledger.rows_changed = said["rows"]["changed"]
        ledger.splits = {name: SplitEntry(**entry) for name, entry in said["splits"].items()}
        ledger.epoch = [EpochEntry(**entry) for entry in said["epoch"]]
        ledger.notes = list(said["notes"])
        return ledger


def _rows(tally: Tally) -> str:
    return ", ".join(tally.rows) + (" ..." if tally.count > len(tally.rows) else "")
