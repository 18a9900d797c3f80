"""A spec file -> a Spec, with the line of everything written, or every problem of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunesmith.errors import SpecError
from tunesmith.spec.document import REFUSED
from tunesmith.spec.draft import Draft, Fault, draft_of, extend, read_file
from tunesmith.spec.overrides import COMMAND_LINE, OverrideError, override
from tunesmith.spec.problems import explain
from tunesmith.spec.sections import Spec


@dataclass(frozen=True)
class Written:
    """A spec as the user gave it."""

    path: Path
    """The file."""
    text: str
    """The file's own text."""
    tree: dict[str, Any]
    """Its plain values, after `extends` and overrides."""
    lines: dict[str, str]
    """Dotted path -> `file:line`, or `command line`."""

    @property
    def folder(self) -> Path:
        """What the paths in it are relative to."""
        return self.path.parent / (self.tree.get("relative_to") or "")

    def own_path(self, path: str) -> str:
        """The path as this file has it: a lone stage may stand without a list around it."""
        return _own_path(self.tree, path)

    def where(self, path: str) -> str:
        """For messages: where `path`, or the nearest thing around it that is written, stands."""
        path = self.own_path(path)
        return f"{_place(self.lines, path, self.path.name)} {path}"


def load(path: Path, overrides: Sequence[str] = ()) -> tuple[Spec, Written]:
    """Reads a spec file (YAML, or JSON by its ending).

    Args:
        path: the file.
        overrides: `path.of.field=value` each, the last word on its field.

    Raises:
        SpecError: with every problem found.
    """
    text = read_file(path, path.name)
    return _finish(path, text, overrides, folder=path.parent)


def parse(text: str, name: str = "<spec>") -> tuple[Spec, Written]:
    """Reads the text of a spec that stands in no file; it cannot extend another.

    Raises:
        SpecError: with every problem found.
    """
    return _finish(Path(name), text, (), folder=None)


def changed(written: Written, overrides: Sequence[str]) -> tuple[Spec, Written]:
    """The same spec with further overrides; its file is not read again.

    Raises:
        SpecError: with every problem found.
    """
    draft = Draft(deepcopy(written.tree), dict(written.lines), [])
    return _overridden(draft, written.path, written.text, overrides)


def _finish(path: Path, text: str, overrides: Sequence[str], folder: Path | None) -> tuple[Spec, Written]:
    draft = draft_of(text, path.name)
    extend(draft, folder)
    return _overridden(draft, path, text, overrides)


def _overridden(draft: Draft, path: Path, text: str, overrides: Sequence[str]) -> tuple[Spec, Written]:
    for said in overrides:
        try:
            override(draft.tree, draft.lines, said)
        except OverrideError as error:
            draft.faults.append(Fault(COMMAND_LINE, "", str(error)))
    spec = _validate(draft, path.name)
    if draft.faults or spec is None:
        raise SpecError([fault.problem() for fault in sorted(draft.faults, key=_order)])
    return spec, Written(path, text, draft.tree, draft.lines)


def _validate(draft: Draft, name: str) -> Spec | None:
    """Checks the values; what is wrong joins the draft's faults."""
    if not draft.tree and draft.faults:
        return None
    refused = [fault.path for fault in draft.faults if fault.path]
    try:
        return Spec.model_validate(_without_refused(draft.tree))
    except ValidationError as error:
        for keys, what in explain(error, draft.tree):
            path = _own_path(draft.tree, ".".join(map(str, keys)))
            if not any(path == known or path.startswith(f"{known}.") for known in refused):
                draft.faults.append(Fault(_place(draft.lines, path, name), path, what))
        return None


def _own_path(tree: dict[str, Any], path: str) -> str:
    if isinstance(tree.get("train"), list):
        return path
    return "train" + path[len("train.0") :] if path == "train.0" or path.startswith("train.0.") else path


def _without_refused(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_refused(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_without_refused(value) for value in tree]
    return None if tree is REFUSED else tree


def _place(lines: dict[str, str], path: str, name: str) -> str:
    """Where `path` is written, or the nearest thing around it that is."""
    while path:
        if path in lines:
            return lines[path]
        path = path.rpartition(".")[0]
    return name


def _order(fault: Fault) -> tuple[bool, str, int]:
    """File by file and line by line, the command line last."""
    file, _, line = fault.place.rpartition(":")
    known = line.isdigit()
    return (fault.place == COMMAND_LINE, file if known else fault.place, int(line) if known else 0)
