"""Finds keys and passwords and leaves their rows out or masks them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from tunesmith.data.methods.privacy.secrets import Secret, secrets
from tunesmith.data.rewrite import Edit, edited, texts, with_edits
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, change, drop
from tunesmith.records import Record

REASON = "holds a key or password"
MASK = "[SECRET]"
_AROUND = 40


class Secrets(Step):
    """Finds API keys, tokens, private keys and passwords: by forms that only they have, or after words for them."""

    action: Literal["drop", "mask", "report"] = "mask"
    """Leave the row out, write `[SECRET]` in its place, or only count."""
    min_entropy: float = Field(default=2.5, ge=0, le=8)
    """How far from a word what follows `password:` or `api_key =` must be, in bits a character; `hunter2` has 2.8."""

    def hides(self) -> bool:
        return self.action != "report"

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        """Finds in other processes; what was found is written down nowhere."""
        finds: Counter[str] = Counter()
        measured = array("f")
        for record, found in zip(records, room.map(self.look, records), strict=True):
            measured.extend(one.entropy for each in found for one in each if one.assigned)
            sure = [[one for one in each if not one.assigned or one.entropy >= self.min_entropy] for each in found]
            if not any(sure):
                yield KEEP
                continue
            whats = sorted({one.what for each in sure for one in each})
            finds.update(one.what for each in sure for one in each)
            masked = with_edits(record, [[Edit(one.start, one.end, MASK) for one in each] for each in sure])
            _show(record, sure, room)
            if self.action == "report":
                yield KEEP
            elif self.action == "drop":
                yield drop(REASON, ", ".join(whats), shown=masked)
            else:
                veiled = with_edits(record, [[Edit(one.start, one.end, "•" * 8) for one in each] for each in sure])
                yield change(masked, *(f"{what} masked" for what in whats), shown=veiled)
        room.measured("bits a character of what follows a word for a secret", measured, low=self.min_entropy)
        room.figure("secrets", {"action": self.action, "kinds": dict(sorted(finds.items()))})

    def look(self, record: Record) -> list[list[Secret]]:
        """What each text of a record gives away."""
        return [secrets(text) for text in texts(record)]


def _show(record: Record, found: Sequence[Sequence[Secret]], room: Room) -> None:
    for text, each in zip(texts(record), found, strict=True):
        if each:
            masked, _ = edited(text, None, [Edit(one.start, one.end, MASK) for one in each])
            place = masked.index(MASK)
            around = masked[max(0, place - _AROUND) : place + _AROUND]
            room.show("keys and passwords, masked", [{"where": record.source, "what": each[0].what, "text": around}])
