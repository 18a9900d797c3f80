"""Removes lines that many rows share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Literal

import numpy as np
from pydantic import Field

from tunesmith.data.methods.quality import lines
from tunesmith.data.methods.quality.lines import Hashes
from tunesmith.data.rewrite import edited
from tunesmith.data.room import SHOWN, Room
from tunesmith.data.steps import KEEP, Outcome, Step, change, drop
from tunesmith.records import Message, Record

REMOVED = "lines of many rows removed"
NOTHING_LEFT = "nothing but lines of many rows"


class Boilerplate(Step):
    """Removes lines that stand in many rows: headers, footers, cookie notices, signatures, disclaimers. They are found
    by counting, with case, blanks and figures left aside, so that `Page 3 of 9` is the same line on every page; every
    line that is removed is shown with its number of rows.

    The only line of a text is never removed, nor are lines of code, lines that hold a labelled stretch, or short ones.
    """

    of: tuple[Literal["text", "prompt", "answer"], ...] = Field(default=("text",), min_length=1)
    """Where lines are counted and removed: texts without turns, what users say, what is answered. Prompts made by a
    template share lines on purpose."""
    min_rows: int = Field(default=20, ge=2)
    """Rows that share a line before it is removed, at least."""
    min_share: float = Field(default=0.01, ge=0, le=1)
    """The share of all rows that share it, at least."""
    min_words: int = Field(default=3, ge=1)
    """Lines of fewer words stay."""

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        least = max(self.min_rows, ceil(self.min_share * len(records)))
        # Lines of fewer rows are counted too, so that it can be seen what lies below the threshold.
        numbers, counts = lines.frequent(partial(self._numbers, records, room), max(2, least // 10))
        room.measured("rows that share a line", counts.astype(np.float64), high=least - 1)
        order = np.argsort(-counts, kind="stable")[:SHOWN]
        shown = {int(numbers[place]): int(counts[place]) for place in order if counts[place] >= least}
        seen: dict[int, str] = {}
        taken_out = partial(self._look, frequent=numbers[counts >= least], shown=frozenset(shown))
        for outcome, examples in room.map(taken_out, records):
            seen = {**examples, **seen} if examples.keys() - seen.keys() else seen
            yield outcome
        room.show("lines removed", ({"line": seen[n], "rows": rows} for n, rows in shown.items() if n in seen))
        if len(records) and not any(self._texts(record) for record in records):
            room.note(f"no row has a {' or '.join(self.of)}; `of` says where lines are counted")

    def _texts(self, record: Record) -> list[str]:
        """The texts that lines are counted in."""
        said = [record.text] if "text" in self.of and record.text is not None else []
        return said + [turn.content for turn in (*record.messages, *record.chosen) if self._is_meant(turn)]

    def _is_meant(self, turn: Message) -> bool:
        return ("prompt" in self.of and turn.role == "user") or ("answer" in self.of and turn.role == "assistant")

    def _numbers(self, records: Sequence[Record], room: Room) -> Iterator[Hashes]:
        for found in room.look(self._lines, records):
            yield np.frombuffer(found, dtype=np.uint64)

    def _lines(self, record: Record) -> bytes:
        found = {line.number for text in self._texts(record) for line in lines.candidates(text, self.min_words)}
        return np.fromiter(found, dtype=np.uint64, count=len(found)).tobytes()

    def _look(self, record: Record, frequent: Hashes, shown: frozenset[int]) -> tuple[Outcome, dict[int, str]]:
        """What becomes of a record, and how lines read that are to be shown."""
        examples: dict[int, str] = {}

        def among(text: str) -> list[lines.Line]:
            found = lines.candidates(text, self.min_words)
            often = np.isin(np.array([line.number for line in found], dtype=np.uint64), frequent)
            chosen = [line for line, is_often in zip(found, often, strict=True) if is_often]
            examples.update({n: text[start:end].strip() for start, end, n in chosen if n in shown})
            return chosen

        def mended(turn: Message) -> Message:
            if not self._is_meant(turn):
                return turn
            edits = lines.removing(turn.content, among(turn.content), None)
            return replace(turn, content=edited(turn.content, None, edits)[0])

        text, spans = record.text, record.spans
        if text is not None and "text" in self.of:
            text, spans = edited(text, spans, lines.removing(text, among(text), spans))
        after = replace(
            record,
            text=text,
            spans=spans,
            messages=tuple(map(mended, record.messages)),
            chosen=tuple(map(mended, record.chosen)),
        )
        if after == record:
            return KEEP, examples
        if any(
            old.strip() and not new.strip() for old, new in zip(self._texts(record), self._texts(after), strict=True)
        ):
            return drop(NOTHING_LEFT), examples
        return change(after, REMOVED), examples
