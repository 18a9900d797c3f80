"""A spec file -> a Spec, with the line of everything written, or every problem of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from tunesmith.errors import Problem, SpecError
from tunesmith.spec.document import REFUSED, Document, read_document
from tunesmith.spec.overrides import COMMAND_LINE, OverrideError, override
from tunesmith.spec.problems import explain, show
from tunesmith.spec.sections import Spec


@dataclass(frozen=True)
class Written:
    """A spec as the user gave it."""

    path: Path
    """The file; its folder is what the data paths in it are relative to."""
    text: str
    """The file's own text."""
    tree: dict[str, Any]
    """Its plain values, after `extends` and overrides."""
    lines: dict[str, str]
    """Dotted path -> `file:line`, or `command line`."""

    def written_path(self, path: str) -> str:
        """The path as this file would have it: a lone stage may stand without a list around it."""
        return path.replace("train.0.", "train.", 1) if isinstance(self.tree.get("train"), dict) else path

    def where(self, path: str) -> str:
        """For messages: where `path`, or the nearest thing around it that is written, stands."""
        path = self.written_path(path)
        return f"{_place(self.lines, path, self.path.name)} {path}"


def load(path: Path, overrides: Sequence[str] = ()) -> tuple[Spec, Written]:
    """Reads a spec file (YAML, or JSON by its ending).

    Args:
        path: the file.
        overrides: `path.of.field=value` each, the last word on its field.

    Raises:
        SpecError: with every problem found.
    """
    return _finish(path, _read_file(path, path.name), overrides, folder=path.parent)


def parse(text: str, name: str = "<spec>") -> tuple[Spec, Written]:
    """Reads the text of a spec that stands in no file; `extends` is refused.

    Raises:
        SpecError: with every problem found.
    """
    return _finish(Path(name), (text, read_document(text, is_json=name.endswith(".json"))), (), folder=None)


@dataclass
class _Draft:
    """A spec on its way: values, where they stand, and what is wrong so far."""

    tree: dict[str, Any]
    lines: dict[str, str]
    faults: list[_Fault] = field(default_factory=list)


@dataclass(frozen=True)
class _Fault:
    place: str
    """`file:line`, a file, or `command line`."""
    path: str
    what: str

    def problem(self) -> Problem:
        return Problem(f"{self.place} {self.path}".strip(), self.what)


def _read_file(path: Path, name: str) -> tuple[str, Document]:
    def refuse(what: str) -> SpecError:
        return SpecError([Problem(name, what)])

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise refuse(f"there is no such file in {path.parent.resolve()}; `tunesmith init DATA` writes one") from None
    except IsADirectoryError:
        raise refuse("is a folder; name the spec file in it") from None
    except UnicodeDecodeError as error:
        raise refuse(f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except (OSError, ValueError) as error:
        raise refuse(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return text, read_document(text, is_json=path.suffix == ".json")


def _finish(path: Path, file: tuple[str, Document], overrides: Sequence[str], folder: Path | None) -> tuple[Spec, Written]:
    text, document = file
    draft = _draft(document, path.name)
    parent = draft.tree.pop("extends", None)
    if parent is not None:
        _extend(draft, parent, folder)
    for said in overrides:
        try:
            override(draft.tree, draft.lines, said)
        except OverrideError as error:
            draft.faults.append(_Fault(COMMAND_LINE, "", str(error)))
    spec = _validate(draft, path.name)
    if draft.faults or spec is None:
        raise SpecError([fault.problem() for fault in sorted(draft.faults, key=_order(path.name))])
    return spec, Written(path, text, draft.tree, draft.lines)


def _draft(document: Document, name: str) -> _Draft:
    lines = {path: f"{name}:{line}" for path, line in document.lines.items() if path}
    faults = [_Fault(f"{name}:{fault.line}" if fault.line else name, fault.path, fault.what) for fault in document.faults]
    draft = _Draft({}, lines, faults)
    if isinstance(document.tree, dict):
        draft.tree = document.tree
    elif document.tree is None:
        faults.append(_Fault(name, "", "is empty; `tunesmith init DATA` writes a spec to begin with"))
    elif document.tree is not REFUSED:
        line = document.lines.get("", 1)
        what = f"a spec is made of `key: value` lines (name, data, ...), not {_sort_of(document.tree)}"
        faults.append(_Fault(f"{name}:{line}", "", what))
    return draft


def _sort_of(tree: Any) -> str:
    return "a list" if isinstance(tree, list) else "a single value"


def _extend(draft: _Draft, parent: Any, folder: Path | None) -> None:
    """Puts the parent's values under those of `draft`."""

    def refuse(what: str) -> None:
        draft.faults.append(_Fault(draft.lines.get("extends", COMMAND_LINE), "extends", what))

    if not isinstance(parent, str) or folder is None:
        return refuse(f"write the name of a spec file, not {show(parent)}" if folder else "only a file can extend another")
    path = folder / parent
    inside = not PurePosixPath(parent).is_absolute() and path.resolve().is_relative_to(folder.resolve())
    if not inside:
        return refuse(f"{parent!r} must lie in the folder of this spec, or below it")
    try:
        _, document = _read_file(path, parent)
    except SpecError as error:
        return refuse(f"{parent!r} {error.problems[0].what}")
    other = _draft(document, parent)
    if "extends" in other.tree:
        return refuse(f"{parent!r} itself extends {show(other.tree['extends'])}; only one level is followed")
    draft.faults.extend(other.faults)
    draft.tree = _merge(other.tree, draft.tree, "", other.lines, draft.lines)
    return None


def _merge(under: Any, over: Any, path: str, under_lines: dict[str, str], over_lines: dict[str, str]) -> Any:
    """`over` wins; mappings are merged, everything else is replaced. Lines follow the values."""
    if isinstance(under, str) and isinstance(over, dict) and over and "kind" not in over:
        under = {"kind": under}  # settings for a part that the parent named
        over_lines.setdefault(f"{path}.kind", under_lines[path])
    another_part = isinstance(under, dict) and isinstance(over, dict) and over.get("kind", under.get("kind")) != under.get("kind")
    if not isinstance(under, dict) or not isinstance(over, dict) or another_part:
        return over
    merged = dict(under)
    for key, value in over.items():
        inside = f"{path}.{key}" if path else key
        merged[key] = _merge(under[key], value, inside, under_lines, over_lines) if key in under else value
    for key in under.keys() - over.keys():
        inside = f"{path}.{key}" if path else key
        over_lines.update({p: at for p, at in under_lines.items() if p == inside or p.startswith(f"{inside}.")})
    return merged


def _validate(draft: _Draft, name: str) -> Spec | None:
    if not draft.tree and draft.faults:
        return None
    refused = [fault.path for fault in draft.faults if fault.path]
    try:
        return Spec.model_validate(_without_refused(draft.tree))
    except ValidationError as error:
        for keys, what in explain(error, draft.tree):
            if isinstance(draft.tree.get("train"), dict) and keys[:2] == ("train", 0):
                keys = ("train", *keys[2:])  # one stage, written without a list
            path = ".".join(map(str, keys))
            if not any(path == known or path.startswith(f"{known}.") for known in refused):
                draft.faults.append(_Fault(_place(draft.lines, path, name), path, what))
        return None


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


def _order(name: str) -> Any:
    def key(fault: _Fault) -> tuple[int, str, int]:
        file, _, line = fault.place.rpartition(":")
        if not line.isdigit():
            file, line = fault.place, "0"
        return (fault.place == COMMAND_LINE, "" if file == name else file, int(line))

    return key
