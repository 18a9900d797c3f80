"""TensorBoard: one event file a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from tunesmith.runs import UNFINISHED, Run
from tunesmith.trackers import Facts, Row, Tracker

FILE = "events.out.tfevents.0.tunesmith"
"""The same name each time: a run that is sent again replaces what was sent before."""


class TensorBoard(Tracker):
    """TensorBoard's event files, in `tracked/tensorboard/NAME/N`; look at them with `tensorboard --logdir`."""

    needs: ClassVar[str] = "tensorboard"
    extra: ClassVar[str] = "tensorboard"

    def open(self, run: Run, folder: Path) -> EventFile:
        return EventFile(folder / "tensorboard" / run.name / str(run.number))


class EventFile:
    """The event file of one run. It is written anew when it is opened and whenever a step is told again,
    under another name that then takes its place; in between it only grows, as TensorBoard expects."""

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._path = folder / FILE
        self._rows: dict[int, Row] = {}
        self._facts: Facts | None = None
        self._file: BinaryIO | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def points(self, rows: Sequence[Row]) -> None:
        again = any(row.number in self._rows for row in rows)
        self._rows |= {row.number: row for row in rows}
        if self._file is None or again:
            self._write_anew()
        else:
            self._append(event for row in rows for event in _events(row))

    def facts(self, facts: Facts) -> None:
        self._facts = facts
        self._write_anew()

    def close(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _write_anew(self) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self.close()
        rows = [self._rows[number] for number in sorted(self._rows)]
        began = rows[0].at if rows else 0.0
        # Not `*tfevents*`: TensorBoard must not read it before it is whole.
        temporary = self._path.with_name(f"{os.getpid()}{UNFINISHED}")
        self._file = temporary.open("wb")
        self._append([Event(wall_time=began, file_version="brain.Event:2")])
        self._append(event for row in rows for event in _events(row))
        if self._facts is not None:
            self._append(_final_events(self._facts))
        temporary.replace(self._path)

    def _append(self, events: Iterable[Any]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        assert self._file is not None, "the file is open"
        writer = RecordWriter(self._file)
        for event in events:
            writer.write(event.SerializeToString())
        writer.flush()


def _events(row: Row) -> Iterator[Any]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=name, simple_value=value) for name, value in row.values.items()]
    yield Event(wall_time=row.at, step=row.step, summary=Summary(value=values))


def _final_events(facts: Facts) -> Iterator[Any]:
    """The figures on the test rows as points at step 0; parameters and tags as tables of text."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto

    at = facts.ended or facts.began
    for name, value in facts.finals.items():
        yield Event(wall_time=at, summary=Summary(value=[Summary.Value(tag=name, simple_value=value)]))
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    for title, table in (("spec", facts.parameters), ("run", {"run": facts.name, **facts.tags})):
        lines = ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in table.items())]
        tensor = TensorProto(dtype="DT_STRING", string_val=["\n".join(lines).encode()])
        shown = Summary.Value(tag=title, tensor=tensor, metadata=metadata)
        yield Event(wall_time=at, summary=Summary(value=[shown]))


def _cell(value: object) -> str:
    """A value as a cell of a Markdown table."""
    return str(value).replace("|", "\\|").replace("\n", " ")
