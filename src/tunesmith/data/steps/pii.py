"""Finds personal data and leaves its rows out, masks it, or puts stand-ins in its place."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tunesmith.data.methods.privacy.find import find
from tunesmith.data.methods.privacy.found import IDENTIFYING, KINDS, Found, Kind, kind_of, standing
from tunesmith.data.methods.privacy.standin import PSEUDONYM_KEY, Standins, entry_name
from tunesmith.data.rewrite import Edit, edited, texts, with_edits
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, change, drop
from tunesmith.records import Record, Span
from tunesmith.vault.keys import master_key
from tunesmith.vault.store import Vault

REASON = "holds personal data"
_BATCH, _FLUSH = 256, 100_000
_GUESS = 0.7
"""Names by capitals alone are below; where a model reads names, they are left to it."""
_FROM_MODEL = 0.85
_AROUND = 40
_NAMED_KINDS = frozenset({"person", "place", "organization"})


def _kinds(value: object) -> object:
    if value == "all":
        return KINDS
    return tuple(value) if isinstance(value, list) else value


class Pii(Step):
    """Finds personal data by its forms, checksums and the words around it, and names by a model where one is given.

    What was found is written down nowhere: dropped and changed rows are kept with it masked. Text, turns, further
    answers and slice columns are searched; ids, labels and sources are not.
    """

    kinds: Annotated[
        tuple[Kind, ...], BeforeValidator(_kinds, json_schema_input_type=tuple[Kind, ...] | Literal["all"])
    ] = IDENTIFYING
    """What is looked for: a list, or `all`; when left out, what points at one person by itself."""
    action: Literal["drop", "mask", "pseudonym", "report"] = "mask"
    """Leave the row out, write `[EMAIL]` in its place, put a stand-in of its kind in its place, or only count."""
    model: str | None = None
    """A tagger for names: a folder, a hub id, or `run:NAME/N` of a run that learned spans."""
    min_confidence: float = Field(default=0.5, ge=0, le=1)
    """How sure a find must be: about 0.95 with a checksum, 0.5 for a name told by its capital alone."""

    def models(self) -> tuple[str, ...]:
        return (self.model,) if self.model else ()

    def kept(self, vault: Path | None) -> str:
        """Another vault draws other stand-ins, and who was forgotten since is masked."""
        there = self.action == "pseudonym" and vault is not None and vault.exists()
        return Vault(vault, master_key()).print_of_forgotten() if there and vault is not None else ""

    def hides(self) -> bool:
        return self.action != "report"

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        """Finds in other processes, treats what was found here, where the vault is."""
        books = _Books(self.action, room)
        for record, found in self._found(records, room):
            sure = [[one for one in each if one.confidence >= self.min_confidence] for each in found]
            books.measured.extend(one.confidence for each in found for one in each)
            yield self._treated(record, sure, books) if any(sure) else KEEP
        books.close(self.min_confidence)

    def look(self, record: Record) -> list[list[Found]]:
        """What each text of a record says, then each of its slice values, however unsure."""
        return [find(text, self.kinds) for text in _said(record)]

    def _found(self, records: Sequence[Record], room: Room) -> Iterator[tuple[Record, list[list[Found]]]]:
        pairs = zip(records, room.map(self.look, records), strict=True)
        if self.model is None:
            yield from pairs
            return
        tagger = room.models.tagger(self.model)
        while batch := list(islice(pairs, _BATCH)):
            tagged = iter(tagger.spans([text for record, _ in batch for text in _said(record)]))
            for record, found in batch:
                yield (
                    record,
                    [
                        self._with_model(text, each, next(tagged))
                        for text, each in zip(_said(record), found, strict=True)
                    ],
                )

    def _with_model(self, text: str, found: list[Found], spans: Sequence[Span]) -> list[Found]:
        told = [
            Found(span.start, span.end, kind, _FROM_MODEL)
            for span in spans
            if (kind := kind_of(span.label)) is not None and kind in self.kinds
        ]
        return standing(
            text, [*told, *(one for one in found if one.kind not in _NAMED_KINDS or one.confidence >= _GUESS)]
        )

    def _treated(self, record: Record, found: list[list[Found]], books: _Books) -> Outcome:
        said = _said(record)
        masked = _with(record, [[Edit(one.start, one.end, _mask(one.kind)) for one in each] for each in found])
        kinds = books.enter(record, said, found)
        if self.action == "report":
            return KEEP
        if self.action == "drop":
            return drop(REASON, ", ".join(kinds), shown=masked)
        veiled = _with(
            record,
            [
                [Edit(one.start, one.end, _veil(text[one.start : one.end])) for one in each]
                for text, each in zip(said, found, strict=True)
            ],
        )
        if self.action == "mask":
            return change(masked, *(f"{kind} masked" for kind in kinds), shown=veiled)
        edits = [
            [Edit(one.start, one.end, books.standin(one.kind, text[one.start : one.end])) for one in each]
            for text, each in zip(said, found, strict=True)
        ]
        return change(_with(record, edits), *(f"{kind} replaced" for kind in kinds), shown=veiled)


class _Books:
    """What a run of the step counts, shows and keeps in the vault."""

    def __init__(self, action: str, room: Room) -> None:
        self.room = room
        self.rows: Counter[str] = Counter()
        self.finds: Counter[str] = Counter()
        self.columns: Counter[str] = Counter()
        self.measured = array("f")
        self._action = action
        self._vault: Vault | None = None
        self._new: dict[str, list[str]] = {}
        if action == "pseudonym":
            self._vault = Vault.open_or_create(room.vault, master_key())
            self._standins = Standins(self._vault.secret(PSEUDONYM_KEY))

    def enter(self, record: Record, said: Sequence[str], found: Sequence[Sequence[Found]]) -> list[str]:
        """Counts what a row holds and shows what stands around it; its kinds, sorted."""
        counts = Counter(one.kind for each in found for one in each)
        self.rows.update(counts.keys())
        self.finds.update(counts)
        for column, each in zip(record.slices, found[len(texts(record)) :], strict=True):
            self.columns[column] += bool(each)
        for text, each in zip(said, found, strict=True):
            masked, _ = edited(text, None, [Edit(one.start, one.end, _mask(one.kind)) for one in each])
            for kind in {one.kind for one in each}:
                place = masked.index(_mask(kind))
                around = masked[max(0, place - _AROUND) : place + _AROUND]
                self.room.show(f"{kind}, masked", [{"where": record.source, "text": around}])
        return sorted(counts)

    def standin(self, kind: Kind, written: str) -> str:
        """What takes the place of a find; a mask where it was asked to be forgotten."""
        assert self._vault is not None
        new = self._standins.of(kind, written)
        name = entry_name(kind, new)
        if self._vault.forgotten(name):
            return _mask(kind)
        known = self._new.get(name) or (self._vault.get(name) if name in self._vault else [])
        if written not in known:
            self._new[name] = [*known, written]
            if len(self._new) >= _FLUSH:
                self._flush()
        return new

    def close(self, min_confidence: float) -> None:
        """Tells the figures and writes the vault."""
        self._flush()
        self.room.measured("confidence of personal data found", self.measured, low=min_confidence)
        figures = {kind: {"finds": self.finds[kind], "rows": self.rows[kind]} for kind in sorted(self.finds)}
        self.room.figure("personal data", {"action": self._action, "kinds": figures})
        for column, count in sorted(self.columns.items()):
            if count and self._action != "report":
                how = "masked, so groups by it are joined" if self._action == "mask" else f"treated ({self._action})"
                self.room.note(f"the column {column!r} holds personal data in {count} rows; it is {how}")

    def _flush(self) -> None:
        if self._vault is not None and self._new:
            self._vault.put(self._new)
            self._new = {}


def _said(record: Record) -> tuple[str, ...]:
    return (*texts(record), *record.slices.values())


def _with(record: Record, edits: Sequence[Sequence[Edit]]) -> Record:
    count = len(texts(record))
    slices = {
        name: edited(value, None, each)[0]
        for (name, value), each in zip(record.slices.items(), edits[count:], strict=True)
    }
    return with_edits(record, edits[:count], slices=slices)


def _mask(kind: Kind) -> str:
    return f"[{kind.upper()}]"


def _veil(written: str) -> str:
    return "".join(character if character.isspace() else "•" for character in written)
