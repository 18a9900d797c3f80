"""`train.optimizer.lr=1e-4` on the command line: one value put into a written tree."""

from __future__ import annotations

from typing import Any

from tunesmith.spec.document import REFUSED, read_document

COMMAND_LINE = "command line"


class OverrideError(ValueError):
    """An override that cannot be followed."""


def override(tree: dict[str, Any], lines: dict[str, str], text: str) -> None:
    """Sets one value in `tree` and notes in `lines` that the command line wrote it.

    Args:
        tree: the written values; changed in place.
        lines: dotted path -> where it was written; changed in place.
        text: `path.of.field=value`, the value as YAML; a list's entries are numbered from 0.

    Raises:
        OverrideError: it has not this form, or leads nowhere; the message says what to write.
    """
    path, separator, written = text.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise OverrideError(f"{text!r} is not an override; write path.of.field=value, as train.optimizer.lr=1e-4")
    value = _value(path, written)
    keys = _without_lone_stage(tree, keys)
    holder: Any = tree
    for depth, key in enumerate(keys[:-1], start=1):
        inner = _get(holder, key, path)
        if not isinstance(inner, (dict, list)):
            at = ".".join(keys[:depth])
            before = lines.get(at, COMMAND_LINE)
            lines[at] = COMMAND_LINE
            if inner is None:
                inner = {}
            else:
                shorthand = _shorthand(keys[:depth])
                inner, lines[f"{at}.{shorthand}"] = {shorthand: inner}, before
            _put(holder, key, inner)
        holder = inner
    _get(holder, keys[-1], path)  # refuses a number beyond a list's end
    _put(holder, keys[-1], value)
    _note(lines, ".".join(keys), value)


def _value(path: str, written: str) -> Any:
    if not written.strip():
        raise OverrideError(f"{path}= is followed by nothing; write a value, or null to undo what the file says")
    document = read_document(written)
    if document.faults or document.tree is REFUSED:
        raise OverrideError(f"the value of {path}: {document.faults[0].what}")
    return document.tree


def _without_lone_stage(tree: dict[str, Any], keys: list[str]) -> list[str]:
    """`train.0.x` and `train.x` are the same place where there is one stage."""
    if keys[0] != "train" or len(keys) < 2:
        return keys
    stages = tree.get("train")
    if isinstance(stages, list):
        if keys[1].isdigit():
            return keys
        if len(stages) != 1:
            raise OverrideError(
                f"train has {len(stages)} stages; write train.0.{'.'.join(keys[1:])} for the first of them"
            )
        return ["train", "0", *keys[1:]]
    return ["train", *keys[2:]] if keys[1] == "0" else keys


def _shorthand(keys: list[str]) -> str:
    """What a bare text at this place stands for: a part's name, or a source's path."""
    return "path" if keys[:2] == ["data", "sources"] else "kind"


def _get(holder: Any, key: str, path: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(key)
    if not key.isdigit():
        raise OverrideError(f"{path}: a list stands before {key!r}; number its entries from 0")
    if int(key) >= len(holder):
        raise OverrideError(f"{path}: the list has {len(holder)} entries, the last is number {len(holder) - 1}")
    return holder[int(key)]


def _put(holder: Any, key: str, value: Any) -> None:
    holder[int(key) if isinstance(holder, list) else key] = value


def _note(lines: dict[str, str], path: str, value: Any) -> None:
    for stale in [old for old in lines if old.startswith(f"{path}.")]:
        del lines[stale]
    lines[path] = COMMAND_LINE
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        _note(lines, f"{path}.{key}", below)
