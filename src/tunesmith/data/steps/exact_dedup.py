"""Drops rows whose content stood in an earlier row."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Literal

import numpy as np

from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, drop
from tunesmith.records import Record

SAME = "same content as an earlier row"
CONFLICT = "same text as an earlier row, another label"


class ExactDedup(Step):
    """Keeps the first of rows with the same content. Of rows with the same text and different labels it also keeps the
    first, and counts the others apart: they contradict each other.
    """

    ignore: tuple[Literal["case", "whitespace", "punctuation"], ...] = ("whitespace",)
    """What does not make two rows differ."""

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        found = np.frombuffer(b"".join(room.look(self._print, records)), dtype=[("text", "V16"), ("label", "V16")])
        _, first_of, group = np.unique(found["text"], return_index=True, return_inverse=True)
        for place, earlier in enumerate(first_of[group].tolist()):
            if earlier == place:
                yield KEEP
            else:
                conflict = found["label"][earlier] != found["label"][place]
                yield drop(CONFLICT if conflict else SAME, f"of {records[earlier].source}")

    def _print(self, record: Record) -> bytes:
        """Digests of the words and of what they are called."""
        return self._key(record) + _digest(repr((sorted(set(record.labels)), _spanned(record))))

    def _key(self, record: Record) -> bytes:
        text = unicodedata.normalize("NFC", record.content())
        if "case" in self.ignore:
            text = text.casefold()
        if "punctuation" in self.ignore:
            text = "".join(" " if unicodedata.category(c).startswith("P") else c for c in text)
        if "whitespace" in self.ignore:
            text = " ".join(text.split())
        return _digest(text)


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _spanned(record: Record) -> list[tuple[str, str]]:
    # By words, not offsets: blanks may differ.
    text = record.text or ""
    return [(" ".join(text[span.start : span.end].split()), span.label) for span in record.spans or ()]
