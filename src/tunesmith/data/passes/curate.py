"""Runs data steps: what becomes of every record is checked against the contract, entered, and kept by content."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunesmith.data.disk.spool import Records
from tunesmith.data.passes.stage import SAVE_EVERY, StageWriter
from tunesmith.data.room import TOLD_EVERY, Findings, Room
from tunesmith.data.steps import Changed, Dropped, Outcome, RowStep, Step
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
    """Puts a handful of records through one step, in memory: for tests, and for looking at what a step does.

    Raises:
        Error: the step breaks its contract: an outcome too few or too many, another id, a new record without parent.
    """
    room = room or Room()
    result = StepResult(findings=room.findings)
    for place, outcome in _outcomes(step, records, room):
        record = records[place]
        shown = _shown(step, record, outcome)
        if outcome.dropped:
            result.dropped.append(Dropped(shown, step.kind, outcome.reasons[0], outcome.detail))
            continue
        after = outcome.record or record
        result.changed += [Changed(shown, after, step.kind, reason) for reason in _reasons(step, record, outcome)]
        result.kept.append(after)
        for new in outcome.made:
            _check_made(step, record, new)
            result.kept.append(new)
            result.made.append((new, outcome.reasons[0]))
    return result


def write(step: Step, records: Records, room: Room, folder: Path, first_new: int, *, sealed: bool = False) -> None:
    """Puts records through one step and writes what comes of it into a folder, as a stage.

    Args:
        folder: where it is kept; a step that looks at one record at a time goes on where it was interrupted.
        first_new: the number of the first row the step makes.
        sealed: whether what is written is encrypted.
    """
    started = time.monotonic()
    with StageWriter(folder, records.spools, resume=isinstance(step, RowStep), sealed=sealed) as writer:
        begun = writer.done
        for place, outcome in _outcomes(step, records[begun:], room):
            done = begun + place + 1
            _enter(writer, step, records[done - 1 : done], outcome, first_new)
            if done % TOLD_EVERY == 0:
                room.after(done, len(records))
            if done % SAVE_EVERY == 0:
                writer.save(done)
        writer.finish(room.findings, time.monotonic() - started)


def _enter(writer: StageWriter, step: Step, one: Records, outcome: Outcome, first_new: int) -> None:
    """Enters what becomes of one record, which is only read where something does."""
    at, row = int(one.addresses[0]), int(one.rows[0])
    before = at if outcome.shown is None else writer.put(_shown(step, one[0], outcome))
    if outcome.dropped:
        writer.drop(before, row, one[0], step.kind, outcome.reasons[0], outcome.detail)
        return
    if reasons := _reasons(step, one[0], outcome) if outcome.record is not None else ():
        assert outcome.record is not None
        after = writer.put(outcome.record)
        writer.change(before, after, row, outcome.record, step.kind, reasons)
        at = after
    writer.keep(at, row)
    for number, new in enumerate(outcome.made, first_new + sum(writer.books.made.values())):
        _check_made(step, one[0], new)
        writer.make(new, number, step.kind, outcome.reasons[0])


def _outcomes(step: Step, records: Sequence[Record], room: Room) -> Iterator[tuple[int, Outcome]]:
    """One outcome for each record, with its place."""
    outcomes = step.apply(records, room)
    for place in range(len(records)):
        outcome = next(outcomes, None)
        if outcome is None:
            raise _broken(step, f"ends after {place} of {len(records)} rows")
        yield place, outcome
    if next(outcomes, None) is not None:
        raise _broken(step, "says more outcomes than there are rows")


def _reasons(step: Step, record: Record, outcome: Outcome) -> tuple[str, ...]:
    """Why a record was changed; none where it was not."""
    if outcome.record is None or outcome.record == record:
        return ()
    if outcome.record.id != record.id:
        raise _broken(step, f"gives the row {record.id!r} another id")
    if not outcome.reasons:
        raise _broken(step, f"changes the row {record.id!r} without a reason")
    return outcome.reasons


def _shown(step: Step, record: Record, outcome: Outcome) -> Record:
    """What is kept of a record that was dropped or changed, for people to look at."""
    shown = outcome.shown or record
    if shown.id != record.id:
        raise _broken(step, f"shows the row {record.id!r} under another id")
    return shown


def _check_made(step: Step, record: Record, new: Record) -> None:
    if step.rows != "train":
        raise _broken(step, "makes new rows before they are divided")
    if new.parent != record.id or new.id == record.id:
        raise _broken(step, f"makes a row of {record.id!r} that does not name it as its parent")


def _broken(step: Step, what: str) -> Error:
    return Error(f"the step {step.kind!r} {what}", where=type(step).__module__, fix="mend the step")
