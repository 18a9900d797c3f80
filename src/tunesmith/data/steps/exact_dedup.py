"""Drops rows whose content stood in an earlier row."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

from tunesmith.data.steps import Dropped, Step, StepResult
from tunesmith.records import Record

SAME = "same content as an earlier row"
CONFLICT = "same text as an earlier row, another label"


class ExactDedup(Step):
    """Keeps the first of rows with the same content. Of rows with the same text and different labels it also keeps the
    first, and counts the others apart: they contradict each other.
    """

    ignore: tuple[Literal["case", "whitespace", "punctuation"], ...] = ("whitespace",)
    """What does not make two rows differ."""

    def apply(self, records: Sequence[Record]) -> StepResult:
        kept: list[Record] = []
        dropped: list[Dropped] = []
        first: dict[bytes, Record] = {}
        for record in records:
            earlier = first.setdefault(self._key(record), record)
            if earlier is record:
                kept.append(record)
            else:
                conflict = set(earlier.labels) != set(record.labels) or _spanned(earlier) != _spanned(record)
                dropped.append(Dropped(record, self.kind, CONFLICT if conflict else SAME))
        return StepResult(kept, dropped, [])

    def _key(self, record: Record) -> bytes:
        text = unicodedata.normalize("NFC", record.content())
        if "case" in self.ignore:
            text = text.casefold()
        if "punctuation" in self.ignore:
            text = "".join(" " if unicodedata.category(c).startswith("P") else c for c in text)
        if "whitespace" in self.ignore:
            text = " ".join(text.split())
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _spanned(record: Record) -> list[tuple[str, str]]:
    # By words, not offsets: blanks may differ.
    text = record.text or ""
    return [(" ".join(text[span.start : span.end].split()), span.label) for span in record.spans or ()]
