"""The page `docs/spec.md`: every field of a spec and every setting of every part, out of their docstrings.

python -m tunesmith.spec.reference > docs/spec.md
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tunesmith.part import FAMILIES, Family, Part
from tunesmith.spec.outline import annotation_of, families_in, fields, sections_in
from tunesmith.spec.problems import help_of
from tunesmith.spec.quantity import Quantity
from tunesmith.spec.sections import Spec

_HEAD = """\
# The spec, field by field

<!-- Made by `python -m tunesmith.spec.reference > docs/spec.md`; a test keeps it so. -->

A spec is a YAML 1.2 (or JSON) file. Only `name` and `data.sources` are needed; what is left out has the default shown,
or is derived from the task, the data, the base and the machine. `tunesmith plan SPEC` and `tunesmith show RUN` print
every value with where it came from: `written triage.yaml:4`, `default`, or `derived: reason`.

- A field of the command line has the last word: `tunesmith run triage.yaml train.optimizer.lr=1e-4`; list entries are
  numbered from 0 (`data.sources.0.weight=2`), and `null` undoes what the file says.
- `extends: other.yaml` takes from another file, in the spec's folder or below it, what this one does not say. Mappings
  are merged, lists replaced; one level is followed. Paths of data stay relative to the folder of the spec that is run.
- A part is written by its name, `adapter: lora`, or with settings, `adapter: {kind: lora, rank: 8}`.
- A field that does not exist is refused, with the nearest one that does.
"""

_PLAIN = {Any: "any value", bool: "true or false", int: "whole number", float: "number", str: "text"}
_LIMITS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


def reference() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_sections(), *(line for family in FAMILIES for line in _family(family))])


def _sections() -> Iterator[str]:
    held: list[tuple[str, type[BaseModel]]] = [("", Spec)]
    held += [(path, section) for path, field in fields() for section in sections_in(annotation_of(field))]
    for path, section in held:
        if not issubclass(section, Part):
            title = "The file" if section is Spec else f"`{path}`"
            yield from (f"## {title}", "", help_of_class(section), "", *_table(section))


def _family(family: Family) -> Iterator[str]:
    places = [path for path, field in fields() if family in families_in(annotation_of(field))]
    places += [f"{part}: {field}" for part, field in _in_parts(family)]
    title = family.name.replace("_", " ").capitalize()
    yield from (f"## {title}", "", f"In {_listed([f'`{path}`' for path in places])}.", "")
    for name in family.names():
        part = family.load(name)
        yield from (f"### `{name}`", "", help_of_class(part), "", *(_table(part) if part.model_fields else ()))


def _in_parts(family: Family) -> Iterator[tuple[str, str]]:
    """(part, setting) of the parts that are given parts of this family."""
    for other in FAMILIES:
        for name in other.names():
            for setting, field in other.load(name).model_fields.items():
                if family in families_in(annotation_of(field)):
                    yield name, setting


def _table(model: type[BaseModel]) -> list[str]:
    cells = [
        (f"`{name}`", _words(annotation_of(field)), _default(field), help_of(field))
        for name, field in model.model_fields.items()
    ]
    rows = [" | ".join(("", *(cell.replace("|", "\\|") for cell in row), "")).strip() for row in cells]
    return ["| field | what to write | default | what it does |", "|---|---|---|---|", *rows, ""]


def help_of_class(model: type[BaseModel]) -> str:
    """A class's docstring up to its first blank line, on one line."""
    return " ".join((model.__doc__ or "").strip().partition("\n\n")[0].split())


def _words(annotation: Any) -> str:
    """A type as one says it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        family = next(families_in(annotation), None) if get_origin(inner[0]) is None else None
        words = f"[{family.noun}](#{family.name.replace('_', '-')})" if family else _words(inner[0])
        limits = [limit for mark in inner[1:] for limit in _limits(mark)]
        return f"{words}, {_listed(limits)}" if limits else words
    if origin in (Union, types.UnionType):
        return " or ".join(_words(member) for member in inner if member is not type(None))
    if origin is Literal:
        return _listed([f"`{value}`" for value in inner], "or")
    if origin in (list, tuple):
        return f"list: {_words(inner[0])}"
    if origin is dict:
        return f"`{{name: {_words(inner[1])}}}`"
    if isinstance(annotation, type) and issubclass(annotation, Quantity):
        return _listed([f"`{example}`" for example in annotation.examples.split(" or ")], "or")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "see below"
    return _PLAIN[annotation]


def _limits(mark: Any) -> Iterator[str]:
    for name, words in _LIMITS.items():
        if (bound := getattr(mark, name, None)) is not None:
            yield f"{words} {bound:g}"
    if getattr(mark, "min_length", None):
        yield "not empty"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    default = field.get_default(call_default_factory=True)
    if default is None or isinstance(default, BaseModel):
        return ""
    if isinstance(default, list) and default and isinstance(default[0], BaseModel):
        return ""
    if isinstance(default, (bool, int, float, list, dict, tuple)):
        return f"`{json.dumps(default)}`"
    return f"`{default}`"


def _listed(items: list[str], word: str = "and") -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {word} {items[-1]}"


if __name__ == "__main__":
    sys.stdout.write(reference())
