"""Weights & Biases, offline unless told otherwise."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from tunesmith.errors import RunError
from tunesmith.runs import Run, fingerprint
from tunesmith.trackers import Facts, Row, Told, Tracker

DIGEST = "tunesmith.facts"
"""The setting that says which facts were sent last."""
WRITTEN_WITHIN = 30.0
"""Seconds the service of Weights & Biases has to write an offline copy."""


class WandB(Tracker):
    """Weights & Biases; offline copies stand in `tracked/wandb` and are uploaded with `wandb sync`."""

    needs: ClassVar[str] = "wandb"
    extra: ClassVar[str] = "wandb"

    project: str | None = Field(default=None, min_length=1, max_length=128, pattern=r"^[^/\\#?%:]+$")
    """The project runs are filed under; when left out, the name of the spec."""
    entity: str | None = Field(default=None, min_length=1, max_length=128)
    """The team or user the project belongs to; when left out, that of the key."""
    mode: Literal["offline", "online"] = "offline"
    """`online` uploads while it sends, with the key in WANDB_API_KEY or `wandb login`."""

    def open(self, run: Run, folder: Path) -> WandBRun:
        folder.mkdir(parents=True, exist_ok=True)
        facts = Told(run).facts()
        return WandBRun(self.project or run.name, self.entity, self.mode, facts, folder)


class WandBRun:
    """One run of Weights & Biases. Rows are its steps, which only rise: those below the last are left out.

    Offline, each sending that has something new adds a folder that holds only what is new; `wandb sync` puts
    them together by the run's id.
    """

    def __init__(self, project: str, entity: str | None, mode: str, facts: Facts, folder: Path) -> None:
        self.where = str(folder / "wandb") if mode == "offline" else f"project {project}"
        self._asked: dict[str, Any] = {
            "project": project,
            "entity": entity,
            "mode": mode,
            "id": facts.id,
            "name": facts.name,
        }
        self._folder = folder
        self._run: Any = None
        self._axes: set[str] = set()
        self._next, self._digest = read_copies(folder / "wandb", facts.id) if mode == "offline" else (0, "")
        if mode == "online":
            self._next = self._begun().starting_step

    def _begun(self) -> Any:
        """The run, begun when there is something to say."""
        if self._run is None:
            import wandb

            quiet = wandb.Settings(
                silent=True, console="off", disable_git=True, disable_code=True, save_code=False,
                x_disable_stats=True, x_disable_meta=True, x_disable_machine_info=True,
            )  # fmt: skip
            online: dict[str, Any] = {"resume": "allow"} if self._asked["mode"] == "online" else {}
            self._run = wandb.init(**self._asked, **online, dir=str(self._folder), settings=quiet)
        return self._run

    def points(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.number < self._next:
                continue
            run, axis = self._begun(), f"{row.stage}/step"
            if axis not in self._axes:
                run.define_metric(axis, hidden=True)
                run.define_metric(f"{row.stage}/*", step_metric=axis)
                self._axes.add(axis)
            run.log({**row.values, axis: row.step, "at": row.at}, step=row.number)
            self._next = row.number + 1

    def facts(self, facts: Facts) -> None:
        digest = fingerprint([facts.parameters, facts.tags, facts.finals])
        if digest == self._digest:
            return
        self._digest = digest
        run = self._begun()
        told = {f"run.{name}": value for name, value in facts.tags.items()}
        run.config.update({**facts.parameters, **told, DIGEST: digest}, allow_val_change=True)
        run.summary.update(dict(facts.finals))
        run.tags = tuple(value for name, value in facts.tags.items() if name == "verdict")

    def close(self) -> None:
        if self._run is None:
            return
        run, self._run = self._run, None
        run.finish()
        if self._asked["mode"] == "offline":
            _wait_until_written(Path(run.settings.sync_file))


def _wait_until_written(path: Path) -> None:
    """`finish` returns while its service may still write the last of an offline copy, which ends with `exit`."""
    from wandb.proto.wandb_internal_pb2 import Record

    late = time.monotonic() + WRITTEN_WITHIN
    while time.monotonic() < late:
        if any(Record.FromString(data).HasField("exit") for data in records(path.read_bytes())):
            return
        time.sleep(0.05)
    raise RunError(
        f"the offline copy was not whole after {WRITTEN_WITHIN:.0f} seconds", where=str(path), fix="send it again"
    )


def read_copies(folder: Path, name: str) -> tuple[int, str]:
    """What offline copies of the run with this id hold: the next row's number, and the digest of the last facts."""
    from wandb.proto.wandb_internal_pb2 import Record

    following, digest = 0, ""
    for path in sorted(folder.glob(f"offline-run-*-{name}/run-{name}.wandb")):
        for data in records(path.read_bytes()):
            record = Record.FromString(data)
            if record.HasField("history"):
                following = max(following, record.history.step.num + 1)
            config = record.run.config if record.HasField("run") else record.config
            for item in config.update:
                if DIGEST in (item.key, *item.nested_key):
                    digest = item.value_json.strip('"')
    return following, digest


BLOCK, HEADER = 32_768, 7


def records(content: bytes) -> Iterator[bytes]:
    """The records of a `.wandb` file, up to where it was torn: LevelDB's log format after a header of seven bytes.

    https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    place, parts = HEADER, b""
    while place + HEADER <= len(content):
        if BLOCK - place % BLOCK < HEADER:  # the rest of a block is too short for a record's header
            place += BLOCK - place % BLOCK
            continue
        _, length, sort = struct.unpack_from("<IHB", content, place)
        part = content[place + HEADER : place + HEADER + length]
        if sort == 0 or len(part) < length:
            return
        place += HEADER + length
        parts += part
        if sort in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""
