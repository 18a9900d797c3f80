"""Runs the steps: every record goes through them in order, and what becomes of it is entered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tunesmith.data.room import Findings, Room
from tunesmith.data.steps import Changed, Dropped, Outcome, Step
from tunesmith.errors import Error
from tunesmith.records import Record


@dataclass
class StepResult:
    """What a step did: every record it was given is in `kept`, perhaps changed, or in `dropped`."""

    kept: list[Record] = field(default_factory=list)
    """New records follow those they were made of."""
    dropped: list[Dropped] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    made: list[tuple[Record, str]] = field(default_factory=list)
    """New records, each with the reason."""
    findings: Findings = field(default_factory=Findings)


def apply(step: Step, records: Sequence[Record], room: Room | None = None) -> StepResult:
    """Puts records through one step.

    Raises:
        Error: the step breaks its contract: an outcome too few or too many, another id, a new record without parent.
    """
    room = room or Room()
    result = StepResult(findings=room.findings)
    for record, outcome in _paired(step, records, room):
        if outcome.dropped:
            result.dropped.append(Dropped(record, step.kind, outcome.reasons[0], outcome.detail))
            continue
        after = outcome.record or record
        if after != record:
            _check(step, record, outcome)
            result.changed += [Changed(record, after, step.kind, reason) for reason in outcome.reasons]
        result.kept.append(after)
        for new in outcome.made:
            _check_made(step, record, new)
            result.kept.append(new)
            result.made.append((new, outcome.reasons[0]))
    return result


def _paired(step: Step, records: Sequence[Record], room: Room) -> Iterator[tuple[Record, Outcome]]:
    outcomes = step.apply(records, room)
    for number, record in enumerate(records):
        outcome = next(outcomes, None)
        if outcome is None:
            raise _broken(step, f"ends after {number} of {len(records)} rows")
        yield record, outcome
    if next(outcomes, None) is not None:
        raise _broken(step, "says more outcomes than there are rows")


def _check(step: Step, record: Record, outcome: Outcome) -> None:
    assert outcome.record is not None
    if outcome.record.id != record.id:
        raise _broken(step, f"gives the row {record.id!r} another id")
    if not outcome.reasons:
        raise _broken(step, f"changes the row {record.id!r} without a reason")


def _check_made(step: Step, record: Record, new: Record) -> None:
    if step.rows != "train":
        raise _broken(step, "makes new rows before they are divided")
    if new.parent != record.id or new.id == record.id:
        raise _broken(step, f"makes a row of {record.id!r} that does not name it as its parent")


def _broken(step: Step, what: str) -> Error:
    return Error(f"the step {step.kind!r} {what}", where=type(step).__module__, fix="mend the step")
