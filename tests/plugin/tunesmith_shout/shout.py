"""A data step: one file, like Tunesmith's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tunesmith.data.steps import Changed, Dropped, Step, StepResult
from tunesmith.records import Message, Record


class Shout(Step):
    """Writes what users say in capitals, and leaves out those who say nothing."""

    mark: str = "!"
    """What is put at the end."""

    def apply(self, records: Sequence[Record]) -> StepResult:
        result = StepResult(kept=[], dropped=[], changed=[])
        for record in records:
            if not record.content():
                result.dropped.append(Dropped(record, self.kind, "silent"))
                continue
            after = replace(
                record,
                text=record.text and self._loud(record.text),
                messages=tuple(replace(turn, content=self._heard(turn)) for turn in record.messages),
            )
            result.kept.append(after)
            if after != record:
                result.changed.append(Changed(record, after, self.kind, "shouted"))
        return result

    def _heard(self, turn: Message) -> str:
        return self._loud(turn.content) if turn.role == "user" else turn.content

    def _loud(self, text: str) -> str:
        return text.upper().rstrip(self.mark) + self.mark
