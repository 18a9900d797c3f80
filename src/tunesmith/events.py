"""The diary of a run: `events.jsonl`, append-only, one JSON object a line.

Every event has `at` (seconds since the epoch) and `kind`; a training step also has `stage` and
`step`. A resumed run appends steps again from its last checkpoint on; readers take the last word on
each step. A line torn by a crash is skipped.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


class Events:
    """Writes events; each is on its way to the disk when `send` returns.

    Args:
        path: the `events.jsonl` to append to; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        if path.stat().st_size and not _ends_with_newline(path):
            self._file.write(b"\n")

    def send(self, kind: str, **values: Any) -> dict[str, Any]:
        """Appends one event and returns it. Floats that are not finite are written as strings."""
        event = {"at": round(time.time(), 3), "kind": kind, **{key: _finite(value) for key, value in values.items()}}
        self._file.write(json.dumps(event, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n")
        self._file.flush()
        return event

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Tail:
    """Reads a diary onwards from where it was read to, while another process writes it.

    Args:
        path: the `events.jsonl`; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new(self) -> list[dict[str, Any]]:
        """The events written since the last call; a line on its way is left for the next."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._offset)
            written = file.read()
        whole = written[: written.rfind(b"\n") + 1]
        self._offset += len(whole)
        return list(_events(whole.splitlines()))


def read_events(path: Path, *kinds: str) -> list[dict[str, Any]]:
    """The events of a run in the order written, of the given kinds or all.

    Of several `step` or `validation` events with one stage and step number the last is kept, in the
    place of the last.
    """
    events = [event for event in _lines(path) if not kinds or event.get("kind") in kinds]
    last = {_key(event): index for index, event in enumerate(events)}
    return [event for index, event in enumerate(events) if _key(event) is None or last[_key(event)] == index]


def _key(event: dict[str, Any]) -> tuple[Any, ...] | None:
    return (event["kind"], event.get("stage"), event["step"]) if "step" in event else None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        yield from _events(file)


def _events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """What lines hold; one torn by a crash holds nothing."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "kind" in event:
            yield event


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return repr(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
