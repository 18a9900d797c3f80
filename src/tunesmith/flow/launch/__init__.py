"""Runs that are carried out elsewhere: what is sent there, and the command that works there."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunesmith.errors import GateFailed
from tunesmith.flow.request import Request, make_request, resolve_reference

KEPT = "~/tunesmith"
"""The workspace over there: outside of what is sent, so that the same command finds its run again."""


@dataclass(frozen=True)
class Parcel:
    """A spec with the files it names, laid out as they are sent."""

    request: Request
    folder: Path
    """Holds the spec and the files beside it; made anew with every launch."""
    outside: tuple[Path, ...]
    """Files and folders that the spec names by absolute paths."""
    command: tuple[str, ...]
    """What works over there, in that folder."""

    @property
    def name(self) -> str:
        """Of the job: equal for the same spec on the same data."""
        return f"tunesmith-{self.request.spec.name}-{self.request.fingerprint[:8]}"

    @property
    def line(self) -> str:
        """The command as a shell reads it."""
        words = " ".join(map(shlex.quote, self.command))
        return words.replace(shlex.quote(KEPT), KEPT)  # the shell over there knows whose home it is


def pack(spec_path: Path, changes: Sequence[str], workspace: Path, also: Sequence[str] = ()) -> Parcel:
    """Lays out what a run needs in `launches/NAME/job` of the workspace.

    Args:
        spec_path: the spec file.
        changes: overrides.
        workspace: of this machine.
        also: further overrides over there, such as the price of the machine.

    Raises:
        UserError: the spec is wrong, or names files that cannot be sent.
    """
    request = make_request(spec_path, changes, workspace)
    folder = workspace.absolute() / "launches" / request.spec.name / "job"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy2(spec_path, folder / spec_path.name)
    home, outside = spec_path.parent, []
    for above in (source.path for source in request.spec.data.sources if ".." in Path(source.path).parts):
        raise GateFailed(
            f"{above} lies outside of the spec's folder, and is not sent with it",
            where=str(spec_path),
            fix="move it there, or name it by an absolute path",
        )
    for named in _named(request, home):
        if named.is_absolute() or ".." in named.parts:
            outside.append(named)
        else:
            _put(home / named, folder / named)
    command = ("tunesmith", "run", spec_path.name, *changes, *also, "--workspace", KEPT)
    return Parcel(request, folder, tuple(dict.fromkeys(outside)), command)


def _named(request: Request, home: Path) -> list[Path]:
    """Files and folders of this machine that the run reads."""
    spec = request.spec
    if run := next((name for name in (spec.base.model, *request.teachers) if name.startswith("run:")), None):
        raise GateFailed(
            f"{run} is a run of this machine's workspace, which is not sent",
            where="base.model",
            fix="name the folder of its model, such as ./runs/NAME/N/model, beside the spec",
        )
    # A file of the spec's folder that is named by its absolute path is looked for at that path over there too.
    named = [Path(source.path) for source in spec.data.sources if Path(source.path).is_absolute()]
    absolute = {path.resolve() for name in named for path in Path("/").glob(str(name)[1:])}
    files = [Path(file["path"]) for file in (*request.data, *request.beside) if "path" in file]
    found = [real if (real := (home / path).resolve()) in absolute else path for path in files]
    models = [spec.base.model, *request.teachers, *request.others]
    local = [Path(resolve_reference(model, home)) for model in models]
    found += [_relative(path, home) for path in local if path.is_absolute() and path.is_dir()]
    return [path for path in found if path.is_absolute() or (home / path).exists()]


def _relative(path: Path, home: Path) -> Path:
    """As seen from the spec's folder, where it lies in there."""
    inside = Path(os.path.relpath(path, home.resolve()))
    return path if ".." in inside.parts else inside


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)
