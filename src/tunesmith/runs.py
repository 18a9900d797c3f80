"""The run folder: what a run writes, so that it is whole or not there.

    runs/NAME/N/
        spec.yaml        as written          spec.json   resolved, with origins
        environment.json machine, versions   stages/     one marker a finished stage, written last
        data/ checkpoints/ model/ evaluation/            what the stages leave
        events.jsonl     the diary           report.html card.md lineage.json
        manifest.json    sha256 of every file above; written last: the run is complete

A stage is named by a fingerprint of everything that can change its result. A stage whose marker has
the same fingerprint is skipped; one without a marker is done again. A run of the same name that
already holds a stage with that fingerprint lends it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tunesmith.errors import GateFailed, NotFound, did_you_mean

MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"
"""Suffix of what is being written and has not been renamed yet."""


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file so that a crash leaves the old content or the new, never a mixture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + UNFINISHED)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def write_text(path: Path, content: str) -> None:
    """Writes UTF-8 text atomically."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON (no NaN) atomically, two-space indented."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file that Tunesmith wrote."""
    return json.loads(path.read_text("utf-8"))


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fills a folder under a temporary name and puts it in place when the block ends well.

    An older folder of that name is replaced. After an error the old one stands. A crash in the
    instant of the exchange can leave it under another name, from which the next call brings it back.
    """
    temporary = path.with_name(path.name + UNFINISHED)
    replaced = path.with_name(f"{path.name}.replaced{UNFINISHED}")
    if replaced.exists() and not path.exists():
        replaced.rename(path)
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(replaced, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    for entry in [*temporary.rglob("*"), temporary]:
        _sync_folder(entry) if entry.is_dir() else _sync_file(entry)
    if path.exists():
        path.rename(replaced)
    temporary.rename(path)
    _sync_folder(path.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def link_file(source: Path, target: Path) -> None:
    """Gives a file a second name; files of runs are replaced, never changed, so both names stay true."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # the file system has no hard links
        shutil.copy2(source, target)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fingerprint(value: Any) -> str:
    """16 hex digits that name a JSON value by its content."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Run:
    """One folder under `runs/NAME/`.

    Args:
        path: the folder, `.../runs/NAME/N`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.parent.name
        self.number = int(path.name)

    def __repr__(self) -> str:
        return f"Run({str(self)!r})"

    def __str__(self) -> str:
        return f"{self.name}/{self.number}"

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def complete(self) -> bool:
        """Whether every stage ended and the manifest stands."""
        return (self / MANIFEST).exists()

    # Stages -----------------------------------------------------------------------------------

    def stage_done(self, stage: str, print_of_inputs: str) -> bool:
        """Whether `stage` was finished here from exactly these inputs, and its files are still whole."""
        said = self._marker(stage)
        return said.get("fingerprint") == print_of_inputs and all(
            (self / name).exists() and (self / name).stat().st_size == size for name, size in said["files"].items()
        )

    def _marker(self, stage: str) -> dict[str, Any]:
        """What a stage's marker says; empty where there is none that can be read."""
        try:
            said = read_json(self / "stages" / f"{stage}.json")
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def stage_result(self, stage: str) -> dict[str, Any]:
        """What a finished stage said of itself."""
        result: dict[str, Any] = read_json(self / "stages" / f"{stage}.json")["result"]
        return result

    def finish_stage(self, stage: str, print_of_inputs: str, folders: list[str], result: Mapping[str, Any]) -> None:
        """Marks a stage as done. Written last: without it the stage is done again."""
        files = {
            str(file.relative_to(self.path)): file.stat().st_size
            for folder in folders
            for file in ([self / folder] if (self / folder).is_file() else sorted((self / folder).rglob("*")))
            if file.is_file()
        }
        write_json(
            self / "stages" / f"{stage}.json",
            {"stage": stage, "fingerprint": print_of_inputs, "files": files, "result": dict(result)},
        )

    def borrow_stage(self, stage: str, print_of_inputs: str) -> Run | None:
        """Takes over a finished stage with these inputs from an earlier run of this name, if there is one."""
        for other in reversed(list_runs(self.path.parent.parent, self.name)):
            if other.number != self.number and other.stage_done(stage, print_of_inputs):
                said = read_json(other / "stages" / f"{stage}.json")
                for name in said["files"]:
                    link_file(other / name, self / name)
                write_json(self / "stages" / f"{stage}.json", said)
                return other
        return None

    # The whole --------------------------------------------------------------------------------

    def finish(self) -> None:
        """Writes the manifest: sha256 and size of every file. The run is complete."""
        files = {
            str(file.relative_to(self.path)): {"sha256": file_digest(file), "bytes": file.stat().st_size}
            for file in sorted(self.path.rglob("*"))
            if file.is_file() and file.name not in (MANIFEST, ".lock") and "checkpoints" not in file.parts
        }
        write_json(self / MANIFEST, {"run": str(self), "files": files})

    def worker(self) -> int | None:
        """The process of this machine that works on the run; None where there is none. Asking disturbs nobody."""
        try:
            process = int((self / ".lock").read_text())
            os.kill(process, 0)
        except PermissionError:
            return process
        except (OSError, ValueError):
            return None
        return process

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process out for as long as the block lasts; a dead owner's lock does not count.

        Raises:
            GateFailed: another process works on this run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self / ".lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                raise GateFailed(
                    f"run {self} is being worked on by process {file.read().strip() or 'unknown'}",
                    where=str(self.path),
                    fix="wait for it or stop it, then give the command again",
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)
                fcntl.flock(file, fcntl.LOCK_UN)


def list_runs(root: Path, name: str | None = None) -> list[Run]:
    """The runs under `root` (a `runs/` folder) in order of name and number."""
    folders = [root / name] if name else sorted(root.iterdir()) if root.is_dir() else []
    return [
        Run(folder)
        for named in folders
        if named.is_dir()
        for folder in sorted((f for f in named.iterdir() if f.name.isdecimal()), key=lambda f: int(f.name))
    ]


def new_run(root: Path, name: str, fill: Callable[[Path], None]) -> Run:
    """Makes a run under the next free number of `root/name`: whole, or not at all.

    Args:
        root: the `runs/` folder.
        name: the run's name.
        fill: writes what the run begins with into the folder it is given.
    """
    unfinished = root / name / f"{os.getpid()}{UNFINISHED}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        fill(unfinished)
        while True:
            number = max((run.number for run in list_runs(root, name)), default=0) + 1
            try:
                unfinished.rename(root / name / str(number))
            except OSError as error:
                # Another process took the number between looking and renaming.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                _sync_folder(root / name)
                return Run(root / name / str(number))
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        with suppress(OSError):  # it holds runs, or another process begins one
            (root / name).rmdir()


def _is_run(path: Path) -> bool:
    try:
        return (path / "spec.json").exists()
    except OSError:  # a name too long for the file system
        return False


def find_run(root: Path, reference: str) -> Run:
    """The run called `NAME/N`, or `NAME` for its latest; a leading `run:` and a path are allowed.

    Raises:
        NotFound: no such run; the message lists what exists.
    """
    wanted = reference.removeprefix("run:").rstrip("/")
    path = Path(wanted)
    if path.name.isdecimal() and _is_run(path):
        return Run(path.resolve())
    name, _, number = wanted.partition("/")
    runs = [run for run in list_runs(root) if run.name == name and number in ("", str(run.number))]
    if not runs:
        known = [str(run) for run in list_runs(root)]
        raise NotFound(
            f"no run {wanted!r}{did_you_mean(wanted, known)}",
            where=str(root),
            fix=f"use one of: {', '.join(known[-10:])}" if known else "start one with `tunesmith run SPEC`",
        )
    return runs[-1]
