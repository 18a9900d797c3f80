"""The ledger: what became of every row and every token, before the first step is trained.

Rows are entered one by one as they are read and dropped; what is kept is the rest, and closing the books
compares it with the rows that are really there. A ledger is written as JSON (`data/ledger.json`) and refuses
to go on when the training signal is damaged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tunesmith.data.encode.example import ROLES, Example, Need
from tunesmith.data.split import Pool
from tunesmith.data.steps import Changed, Dropped
from tunesmith.data.steps.exact_dedup import CONFLICT, SAME
from tunesmith.errors import GateFailed
from tunesmith.records import Record

_NAMED = 5
_SPECIAL, _ASSISTANT = ROLES.index("special"), ROLES.index("assistant")


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

    @property
    def kept(self) -> int:
        return self.read - self.dropped


@dataclass
class Tally:
    """How often something happened, and to which rows first."""

    count: int = 0
    rows: list[str] = field(default_factory=list)

    def add(self, where: str) -> None:
        self.count += 1
        if len(self.rows) < _NAMED:
            self.rows.append(where)


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
        sources     [{path, format, encoding, shape, columns: {role: column}, why, weight, split, read, dropped, kept}]
        rows        {read, dropped, kept, changed}; read = kept + dropped
        dropped     [{step, reason, count, rows: [where, at most 5]}]
        changed     [{step, reason, count, rows}]
        duplicates  {same, conflicts}: copies dropped; of them with another label
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
        self.dropped: dict[tuple[str, str], Tally] = {}
        self.changed: dict[tuple[str, str], Tally] = {}
        self.rows_changed = 0
        self.splits: dict[Pool, SplitEntry] = {}
        self.epoch: list[EpochEntry] = []
        self.notes: list[str] = []
        self.dropped_rows: list[Dropped] = []
        """The dropped records themselves; not part of the JSON."""
        self.changed_rows: list[Changed] = []
        """The changed records themselves; not part of the JSON."""
        self._source_of: dict[str, int] = {}
        self._changed_ids: set[str] = set()

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

    def enter_read(self, record_id: str, source: int) -> None:
        """Enters a row that was read, by the id its record has or would have, and the number of its source."""
        self.sources[source].read += 1
        self._source_of[record_id] = source

    def enter_dropped(self, dropped: Dropped) -> None:
        """Enters a row that was read and is left out."""
        self.sources[self._source_of.pop(dropped.record.id)].dropped += 1
        self.dropped.setdefault((dropped.step, dropped.reason), Tally()).add(dropped.record.source)
        self.dropped_rows.append(dropped)

    def enter_changed(self, changed: Changed) -> None:
        """Enters a row that was put right."""
        self.changed.setdefault((changed.step, changed.reason), Tally()).add(changed.after.source)
        self.changed_rows.append(changed)
        self._changed_ids.add(changed.after.id)
        self.rows_changed = len(self._changed_ids)

    def close(self, splits: Mapping[Pool, Sequence[Record]]) -> None:
        """Enters the rows of each split and closes the books: every row read is kept or dropped, and none else is."""
        for name, records in splits.items():
            labels = Counter(label for record in records for label in _labels(record))
            entry = self.splits.setdefault(name, SplitEntry())
            entry.rows, entry.labels = len(records), dict(sorted(labels.items(), key=lambda pair: (-pair[1], pair[0])))
        found = {record.id for records in splits.values() for record in records}
        rows = sum(map(len, splits.values()))
        assert rows == len(found) == self.kept and found == self._source_of.keys(), (
            f"the ledger kept {self.kept} rows and the splits hold {rows}"
        )

    # Tokens -----------------------------------------------------------------------------------------

    def enter_tokens(
        self, split: Pool, examples: Sequence[Example], *, need: Need, stop_ids: Sequence[int], bos_id: int | None
    ) -> None:
        """Enters every token of a split's examples.

        Args:
            stop_ids: the codec's; an answer whose last trained token is one of them teaches to stop.
            bos_id: the codec's; counted at the start of each example.
        """
        self.need = need
        entry = self.splits[split]
        entry.examples = len(examples)
        entry.tokens = _by_role(examples)
        entry.truncated = {"rows": sum(e.cut > 0 for e in examples), "tokens": sum(e.cut for e in examples)}
        entry.bent = sum(example.bent for example in examples)
        entry.lengths = _quantiles([len(example.ids) for example in examples])
        if need == "chat":
            entry.stop, entry.answer_lengths = _answers(examples, stop_ids)
        counts = Counter(_leading(example, bos_id) for example in examples)
        entry.bos = {str(number): counts[number] for number in sorted(counts)}

    # Gates ------------------------------------------------------------------------------------------

    def refuse_losses(self) -> None:
        """Stops when more than `max_dropped` of the rows would be lost.

        Raises:
            GateFailed: it names the reasons and rows.
        """
        # Of older rows those that stand among the new ones are left out, and may be all but a few.
        own = [source for source in self.sources if source.split != "replay"]
        read, lost = sum(source.read for source in own), sum(source.dropped for source in own)
        share = lost / read if read else 1.0
        if share > self.max_dropped or read == lost:
            most = sorted(self.dropped.items(), key=lambda item: -item[1].count)[:3]
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

    def to_json(self) -> dict[str, Any]:
        """The ledger as plain JSON values, see the class."""

        def tallies(found: Mapping[tuple[str, str], Tally]) -> list[dict[str, Any]]:
            return [{"step": step, "reason": reason, **asdict(tally)} for (step, reason), tally in found.items()]

        copies = {reason: tally.count for (_, reason), tally in self.dropped.items() if reason in (SAME, CONFLICT)}
        return {
            "task": self.task,
            "need": self.need,
            "max_dropped": self.max_dropped,
            "sources": [{**asdict(source), "kept": source.kept} for source in self.sources],
            "rows": {"read": self.read, "dropped": self.lost, "kept": self.kept, "changed": self.rows_changed},
            "dropped": tallies(self.dropped),
            "changed": tallies(self.changed),
            "duplicates": {"same": copies.get(SAME, 0), "conflicts": copies.get(CONFLICT, 0)},
            "splits": {name: asdict(entry) for name, entry in self.splits.items()},
            "epoch": [asdict(entry) for entry in self.epoch],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Ledger:
        """The inverse of `to_json`."""

        def tallies(found: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Tally]:
            return {(each["step"], each["reason"]): Tally(each["count"], list(each["rows"])) for each in found}

        ledger = cls(said["max_dropped"], said["task"])
        ledger.need = said["need"]
        ledger.sources = [
            SourceEntry(**{key: value for key, value in source.items() if key != "kept"}) for source in said["sources"]
        ]
        ledger.dropped, ledger.changed = tallies(said["dropped"]), tallies(said["changed"])
        ledger.rows_changed = said["rows"]["changed"]
        ledger.splits = {name: SplitEntry(**entry) for name, entry in said["splits"].items()}
        ledger.epoch = [EpochEntry(**entry) for entry in said["epoch"]]
        ledger.notes = list(said["notes"])
        return ledger


def _labels(record: Record) -> tuple[str, ...]:
    return record.labels or tuple(span.label for span in record.spans or ())


def _rows(tally: Tally) -> str:
    return ", ".join(tally.rows) + (" ..." if tally.count > len(tally.rows) else "")


def _by_role(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    totals = np.zeros((len(ROLES), 2), dtype=np.int64)
    for example in examples:
        totals[:, 0] += np.bincount(example.roles, minlength=len(ROLES))
        totals[:, 1] += np.bincount(example.roles[example.trained], minlength=len(ROLES))
        if example.answer_ids is not None:
            totals[_ASSISTANT] += len(example.answer_ids)
    return {
        role: {"total": int(total), "trained": int(trained)}
        for role, (total, trained) in zip(ROLES, totals, strict=True)
        if total
    }


def _quantiles(lengths: Sequence[int]) -> dict[str, int]:
    if not lengths:
        return {}
    found = np.percentile(lengths, [50, 95, 99, 100], method="inverted_cdf")
    return {name: int(value) for name, value in zip(("p50", "p95", "p99", "max"), found, strict=True)}


def _answers(examples: Sequence[Example], stop_ids: Sequence[int]) -> tuple[dict[str, int], dict[str, int]]:
    """How many answers there are and how many end with a trained stop token; and how long answers are."""
    ends, lengths = [], []
    for example in examples:
        if example.answer_ids is not None:
            ends.append(int(example.answer_ids[-1]))
            lengths.append(len(example.answer_ids))
        else:
            borders = np.flatnonzero(np.diff(example.trained.astype(np.int8), prepend=0, append=0))
            ends += example.ids[borders[1::2] - 1].tolist()
            lengths += (borders[1::2] - borders[::2]).tolist()
    stopped = sum(end in stop_ids for end in ends)
    return {"answers": len(ends), "trained": stopped}, _quantiles(lengths)


def _leading(example: Example, bos_id: int | None) -> int:
    """How many beginning tokens an example begins with."""
    if bos_id is None:
        return 0
    others = np.flatnonzero(example.ids != bos_id)
    return int(others[0]) if len(others) else len(example.ids)
