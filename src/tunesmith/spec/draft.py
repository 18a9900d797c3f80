"""A spec on its way: the values of a file and of the one it extends, where they stand, what is wrong so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tunesmith.errors import Problem, SpecError
from tunesmith.spec.document import REFUSED, Document, read_document
from tunesmith.spec.problems import show


@dataclass(frozen=True)
class Fault:
    """Something wrong with a spec."""

    place: str
    """`file:line`, a file, or `command line`."""
    path: str
    """Dotted path of the field; empty for the whole."""
    what: str

    def problem(self) -> Problem:
        """The fault as it is reported."""
        return Problem(f"{self.place} {self.path}".strip(), self.what)


@dataclass
class Draft:
    """Values that are not yet checked."""

    tree: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)
    """Dotted path -> `file:line`, or `command line`."""
    faults: list[Fault] = field(default_factory=list)


def read_file(path: Path, name: str) -> str:
    """The text of a spec file.

    Raises:
        SpecError: it cannot be read.
    """

    def refuse(what: str) -> SpecError:
        return SpecError([Problem(name, what)])

    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise refuse(f"there is no such file in {path.parent.resolve()}; `tunesmith init DATA` writes one") from None
    except IsADirectoryError:
        raise refuse("is a folder; name the spec file in it") from None
    except UnicodeDecodeError as error:
        raise refuse(f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except (OSError, ValueError) as error:
        raise refuse(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def draft_of(text: str, name: str) -> Draft:
    """The values of one file, `extends` still among them."""
    document = read_document(text, is_json=name.endswith(".json"))
    draft = Draft(
        lines={path: f"{name}:{line}" for path, line in document.lines.items() if path},
        faults=[Fault(f"{name}:{at.line}" if at.line else name, at.path, at.what) for at in document.faults],
    )
    if isinstance(document.tree, dict):
        draft.tree = document.tree
    elif document.tree is not REFUSED:
        draft.faults.append(_not_a_spec(document, name))
    return draft


def _not_a_spec(document: Document, name: str) -> Fault:
    if document.tree is None:
        return Fault(name, "", "is empty; `tunesmith init DATA` writes a spec to begin with")
    given = "a list" if isinstance(document.tree, list) else "a single value"
    place = f"{name}:{document.lines.get('', 1)}"
    return Fault(place, "", f"a spec is made of `key: value` lines (name, data, ...), not {given}")


def extend(draft: Draft, folder: Path | None) -> None:
    """Puts the values of the file that `draft` extends under its own. One level, and nothing outside the folder."""
    parent = draft.tree.pop("extends", None)
    if parent is None:
        return
    try:
        other = _parent(parent, folder)
    except _Refused as refused:
        draft.faults.append(Fault(draft.lines["extends"], "extends", str(refused)))
        return
    draft.faults.extend(other.faults)
    draft.tree = _merge(other, draft, other.tree, draft.tree, "")


class _Refused(Exception):
    pass


def _parent(parent: Any, folder: Path | None) -> Draft:
    if folder is None:
        raise _Refused("only a spec in a file can extend another")
    if not isinstance(parent, str):
        raise _Refused(f"write the name of a spec file, not {show(parent)}")
    path = folder / parent
    if PurePosixPath(parent).is_absolute() or not _lies_in(path, folder):
        raise _Refused(f"{parent!r} must lie in the folder of this spec, or below it")
    try:
        other = draft_of(read_file(path, parent), parent)
    except SpecError as error:
        raise _Refused(f"{parent!r} {error.problems[0].what}") from error
    if "extends" in other.tree:
        raise _Refused(f"{parent!r} itself extends {show(other.tree['extends'])}; only one level is followed")
    return other


def _lies_in(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, a NUL
        return False


def _merge(lower: Draft, upper: Draft, under: Any, over: Any, path: str) -> Any:
    """`over` wins; mappings are merged, everything else is replaced. Lines follow the values."""
    if isinstance(under, str) and isinstance(over, dict) and over and "kind" not in over:
        upper.lines[f"{path}.kind"] = lower.lines[path]
        return {"kind": under, **over}  # settings for a part that the parent named
    if not isinstance(under, dict) or not isinstance(over, dict) or _another_part(under, over):
        return over
    merged = dict(over)
    for key, value in under.items():
        inside = f"{path}.{key}" if path else key
        if key in over:
            merged[key] = _merge(lower, upper, value, over[key], inside)
        else:
            merged[key] = value
            inherited = (at for at in lower.lines if at == inside or at.startswith(f"{inside}."))
            upper.lines.update({at: lower.lines[at] for at in inherited})
    return merged


def _another_part(under: dict[str, Any], over: dict[str, Any]) -> bool:
    return "kind" in over and over["kind"] != under.get("kind")
