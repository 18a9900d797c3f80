"""What may stand where in a spec: from a path to the section or part that rules there.

Used wherever a message, an override or a page of reference has to know the fields of a place.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tunesmith.errors import NotFound
from tunesmith.part import Family, Part
from tunesmith.spec.sections import Spec

Key = str | int


def annotation_of(field: FieldInfo) -> Any:
    """A field's type with its marks, as it was written."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def families_in(annotation: Any) -> Iterator[Family]:
    """The families of parts that a field of this type takes."""
    if get_origin(annotation) is Annotated:
        yield from (mark for mark in annotation.__metadata__ if isinstance(mark, Family))
    for inner in get_args(annotation):
        if not isinstance(inner, Family):
            yield from families_in(inner)


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a field of this type holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from sections_in(inner)


def fields(model: type[BaseModel] = Spec, path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """(dotted path, field) of every field of a spec; of parts, those of each family's default one."""
    for name, field in model.model_fields.items():
        inside = f"{path}.{name}" if path else name
        yield inside, field
        annotation = annotation_of(field)
        for section in sections_in(annotation):
            if section is not Part:
                yield from fields(section, inside)
        for family in families_in(annotation):
            if family.default is not None:
                yield from fields(family.load(family.default), inside)


def trace(keys: Sequence[Key], tree: Any) -> tuple[tuple[Key, ...], type[BaseModel] | None, FieldInfo | None]:
    """Follows a validator's path through the models and the written tree.

    Args:
        keys: a path as pydantic gives it, with marks of union members in it.
        tree: the written values; they say which part stands where.

    Returns:
        The path without those marks, the section or part that holds its last field (None inside a
        free mapping), and that field.
    """
    at: Any = Spec
    value, walked = tree, list[Key]()
    model: type[BaseModel] | None = None
    field: FieldInfo | None = None
    for key in keys:
        at = _settle(at, value)
        if isinstance(at, type) and issubclass(at, BaseModel):
            model, field = at, at.model_fields.get(str(key))
            at = annotation_of(field) if field else None
        elif get_origin(at) in (list, tuple) and isinstance(key, int):
            at = get_args(at)[0]
        elif get_origin(at) is dict and not str(key).startswith("["):
            at, model, field = get_args(at)[1], None, None
        elif at is not None:
            continue  # the name of a union's member
        walked.append(key)
        value = _inside(value, key)
    return tuple(walked), model, field


def _settle(annotation: Any, value: Any) -> Any:
    """The one type that `value` is meant for."""
    if get_origin(annotation) is Annotated:
        family = next((mark for mark in annotation.__metadata__ if isinstance(mark, Family)), None)
        return _part_class(family, value) if family else _settle(get_args(annotation)[0], value)
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return _settle(members[0], value) if len(members) == 1 else annotation
    return annotation


def _part_class(family: Family, value: Any) -> type[BaseModel] | None:
    kind = value.get("kind", family.default) if isinstance(value, dict) else value
    try:
        return family.load(kind) if isinstance(kind, str) else None
    except NotFound:
        return None


def _inside(value: Any, key: Key) -> Any:
    if isinstance(value, dict):
        return value if key == 0 and 0 not in value else value.get(str(key))  # one stage stands for a list of one
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None
