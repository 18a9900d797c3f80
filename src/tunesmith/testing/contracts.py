"""The contract of every family: what a part must hold to, whoever wrote it.

`contract_cases` lists one case for each check of each part, found in the folders and entry points, so
that pytest can be parametrised over it; `check_part` runs all checks of one part. What every part
must do stands here; what a family adds stands in `material` (readers, steps, metrics), `answering` (arms),
`judging` (judges), `training` (adapters, objectives, optimizers, schedules, watchers) and `sending` (trackers).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from tunesmith.errors import SpecError
from tunesmith.part import FAMILIES, Family, Part
from tunesmith.testing import answering, judging, material, sending, training

Check = Callable[[Family, str], None]


class Case(NamedTuple):
    """One check of one part."""

    family: Family
    name: str
    check: Check

    def __str__(self) -> str:
        return f"{self.family.name}/{self.name}-{self.check.__name__}"


def contract_cases(families: Sequence[Family] = FAMILIES) -> list[Case]:
    """Every check of every part of `families`, plug-ins included."""
    return [
        Case(family, name, check)
        for family in families
        for name in family.names()
        for check in (*EVERY_PART, *CHECKS[family.name])
    ]


def check_part(family: Family, name: str) -> None:
    """Runs the whole contract of one part.

    Raises:
        AssertionError: the part breaks it; the message says how.
    """
    for check in (*EVERY_PART, *CHECKS[family.name]):
        check(family, name)


def example(family: Family, name: str) -> Part:
    """The part with its defaults; settings without one take the first of their `examples`."""
    part = family.load(name)
    settings = dict(part.for_contract)
    for field, info in part.model_fields.items():
        if info.is_required():
            assert info.examples, f"{name}.{field} has neither a default nor Field(examples=[...])"
            settings[field] = info.examples[0]
    return family.make({"kind": name, **settings})


def says_what_it_is(family: Family, name: str) -> None:
    """A docstring of its own, and one under every setting: help, schema and forms are made of them."""
    part = family.load(name)
    assert (part.__doc__ or "").strip(), f"{name} has no docstring"
    assert part.__doc__ != part.__mro__[1].__doc__, f"{name} has the docstring of its contract"
    _every_field_is_documented(part)


def _every_field_is_documented(model: type[BaseModel]) -> None:
    for field, info in model.model_fields.items():
        assert (info.description or "").strip(), f"{model.__name__}.{field} has no docstring under it"


def is_called_like_its_name(family: Family, name: str) -> None:
    """A part knows the name a spec gives it."""
    part = example(family, name)
    assert part.kind == name
    assert part.settings()["kind"] == name


def settings_survive_a_spec(family: Family, name: str) -> None:
    """Settings are plain JSON and make the same part again."""
    part = example(family, name)
    settings = json.loads(json.dumps(part.settings(), allow_nan=False))
    assert family.make(settings) == part
    assert family.make(settings).settings() == part.settings()


def is_frozen(family: Family, name: str) -> None:
    """No setting can be changed once the part is made."""
    part = example(family, name)
    for field in type(part).model_fields:
        try:
            setattr(part, field, getattr(part, field))
        except ValidationError:
            continue
        raise AssertionError(f"{name}.{field} can be changed after the part is made")


def refuses_what_it_does_not_know(family: Family, name: str) -> None:
    """A setting that does not exist is refused in a spec, with the nearest one that does."""
    from tunesmith.spec.load import parse

    part = example(family, name)
    near = next(iter(type(part).model_fields), "nothing")
    wrong = {**part.settings(), f"{near}x": 1}
    spec: dict[str, Any] = {"name": "contract", "data": {"sources": [{"path": "a.jsonl"}]}}
    if family.name == "label_functions":
        spec["data"]["steps"] = [{"kind": "label_functions"}]
    spec = _put(spec, _PLACES[family.name], wrong)
    try:
        parse(json.dumps(spec), "contract.json")
    except SpecError as error:
        said = [problem for problem in error.problems if f"{near}x" in problem.where]
        assert len(said) == 1, f"{name}: {error}"
        assert near == "nothing" or f"did you mean {near!r}" in said[0].what, said[0].what
    else:
        raise AssertionError(f"{name} takes a setting that does not exist")


_PLACES: dict[str, tuple[str | int, ...]] = {
    "readers": ("data", "sources", 0, "format"),
    "steps": ("data", "steps", 0),
    "label_functions": ("data", "steps", 0, "functions", 0),
    "metrics": ("evaluate", "metrics", 0),
    "judges": ("evaluate", "judges", 0),
    "arms": ("evaluate", "arms", 0),
    "adapters": ("train", "adapter"),
    "objectives": ("train", "objective"),
    "optimizers": ("train", "optimizer"),
    "schedules": ("train", "schedule"),
    "watchers": ("train", "watch", 0),
    "trackers": ("track", 0),
}
"""A place of a spec where a part of the family stands."""


def _put(tree: Any, path: Sequence[str | int], value: Any) -> Any:
    if not path:
        return value
    key, *rest = path
    if isinstance(key, int):
        return [_put(tree[0] if tree else {}, rest, value)]
    return {**(tree or {}), key: _put((tree or {}).get(key), rest, value)}


def has_a_schema(family: Family, name: str) -> None:
    """Every setting stands in the JSON schema with its help."""
    part = family.load(name)
    properties = part.model_json_schema().get("properties", {})
    assert set(properties) - {"kind"} == set(part.model_fields)
    for field in part.model_fields:
        assert properties[field].get("description"), f"{name}.{field} has no help in the schema"


EVERY_PART: tuple[Check, ...] = (
    says_what_it_is,
    is_called_like_its_name,
    settings_survive_a_spec,
    is_frozen,
    refuses_what_it_does_not_know,
    has_a_schema,
)
"""What every part of every family holds to."""


def _on_example(check: Callable[[Any], None]) -> Check:
    def checked(family: Family, name: str) -> None:
        check(example(family, name))

    checked.__name__, checked.__doc__ = check.__name__, check.__doc__
    return checked


CHECKS: dict[str, tuple[Check, ...]] = {
    family: tuple(_on_example(check) for check in checks)
    for family, checks in {
        **material.CHECKS,
        **answering.CHECKS,
        **judging.CHECKS,
        **training.CHECKS,
        **sending.CHECKS,
    }.items()
}
"""Family -> what its parts hold to beside that."""
