"""A data step: one file, like Tunesmith's own."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.data.steps import KEEP, Outcome, RowStep, change, drop
from tunesmith.records import Message, Record


class Shout(RowStep):
    """Writes what users say in capitals, and leaves out those who say nothing."""

    mark: str = "!"
    """What is put at the end."""

    def look(self, record: Record) -> Outcome:
        if not record.content():
            return drop("silent")
        after = replace(
            record,
            text=record.text and self._loud(record.text),
            messages=tuple(replace(turn, content=self._heard(turn)) for turn in record.messages),
        )
        return KEEP if after == record else change(after, "shouted")

    def _heard(self, turn: Message) -> str:
        return self._loud(turn.content) if turn.role == "user" else turn.content

    def _loud(self, text: str) -> str:
        return text.upper().rstrip(self.mark) + self.mark
