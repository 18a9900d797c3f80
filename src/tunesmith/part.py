"""Parts: whatever a user may want to add to Tunesmith.

A Part is a frozen object whose fields are its settings and whose methods are its behaviour. A Family
is a folder of parts: the file name is the part's name and the folder's listing is the registry, so
every name is known without importing anything, and a part is imported only when a spec names it. The
`__init__.py` of the folder holds the family's contract, the class its parts derive from.

Other packages add parts by entry points in the group `tunesmith.<family>`:

    [project.entry-points."tunesmith.steps"]
    shout = "my_package.shout"            # a module that holds one Step, or `my_package.shout:Shout`
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from tunesmith.errors import Error, NotFound, UserError, did_you_mean


class Part(BaseModel):
    """Settings and behaviour of one extension. Fields are settings; docstrings under them are help.

    A setting without a default carries an example, `Field(examples=[...])`, so that the contract
    suite can build the part.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    for_contract: ClassVar[Mapping[str, Any]] = {}
    """Settings that the contract suite gives it beside, where its defaults do not make a part on every machine."""

    @property
    def kind(self) -> str:
        """The part's name: its file, or the entry point that brought it."""
        return _KINDS.get(type(self)) or type(self).__module__.rpartition(".")[2]

    def settings(self) -> dict[str, Any]:
        """The part as a spec would write it: `{kind: name, field: value, ...}`, plain JSON values."""
        return {"kind": self.kind, **self.model_dump(mode="json")}


_KINDS: dict[type[Part], str] = {}
"""Names of parts whose module is not called like them (entry points to `module:Class`)."""


class Family:
    """All parts of one sort.

    Args:
        name: the plural noun used in entry point groups, `steps`.
        noun: the singular used in messages, `step`.
        package: the folder that holds the parts, `tunesmith.data.steps`.
        contract: the class in that folder's `__init__.py` that every part derives from, `Step`.
        default: the part meant where a spec gives settings without a `kind`; None where it must.
    """

    def __init__(self, name: str, noun: str, package: str, contract: str, *, default: str | None = None) -> None:
        self.name = name
        self.noun = noun
        self.package = package
        self.contract = contract
        self.default = default

    def __repr__(self) -> str:
        return f"Family({self.name!r})"

    @cached_property
    def _own(self) -> frozenset[str]:
        found = find_spec(self.package)
        folders = found.submodule_search_locations if found else None
        return frozenset(
            module.name for module in pkgutil.iter_modules(folders or []) if not module.name.startswith("_")
        )

    @cached_property
    def _others(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=f"tunesmith.{self.name}"):
            found.setdefault(point.name, []).append(point)
        return found

    def names(self) -> list[str]:
        """Every part's name, sorted; nothing is imported but the parent packages."""
        return sorted(self._own | set(self._others))

    def load(self, name: str) -> type[Part]:
        """The class of the part called `name`.

        Raises:
            NotFound: no such part; the message lists those that exist.
            UserError: two packages claim the name.
        """
        points = self._others.get(name, [])
        if len(points) + (name in self._own) > 1:
            holders = [*(["tunesmith"] if name in self._own else []), *(point.value for point in points)]
            raise UserError(
                f"the {self.noun} {name!r} is brought by more than one package: {', '.join(holders)}",
                fix="uninstall all but one, or rename the entry point",
            )
        if name in self._own:
            target: Any = importlib.import_module(f"{self.package}.{name}")
        elif points:
            target = self._load_entry_point(points[0])
        else:
            raise NotFound(
                f"no {self.noun} {name!r}{did_you_mean(name, self.names())}",
                fix=f"use one of: {', '.join(self.names())}",
            )
        contract = getattr(importlib.import_module(self.package), self.contract)
        part: type[Part] = target if isinstance(target, type) else _only_part(target, contract, self.noun)
        if not issubclass(part, contract):
            raise Error(
                f"{self.noun} {name!r} is a {part.__mro__[1].__name__}, not a {self.contract}",
                where=f"{part.__module__}.{part.__qualname__}",
                fix=f"derive it from {self.package}.{self.contract}",
            )
        if part.__module__.rpartition(".")[2] != name:
            _KINDS[part] = name
        return part

    def _load_entry_point(self, point: EntryPoint) -> Any:
        try:
            return point.load()
        except Exception as error:  # whatever a foreign module does while it is imported
            raise NotFound(
                f"{self.noun} {point.name!r} is announced by an installed package but cannot be imported: {error!r}",
                where=f"entry point {point.value}",
                fix="repair or uninstall that package",
            ) from error

    def make(self, value: Any) -> Part:
        """Builds a part from what a spec says: a name, or `{kind: name, setting: value, ...}`.

        Raises:
            NotFound: no part of that name.
            TypeError: `value` is neither a name nor a mapping with `kind`.
            pydantic.ValidationError: a setting is wrong.
        """
        if isinstance(value, Part):
            return value
        if isinstance(value, str):
            value = {"kind": value}
        kind = value.get("kind", self.default) if isinstance(value, dict) else None
        if not isinstance(kind, str):
            known = ", ".join(self.names())
            raise TypeError(f"write the name of one {self.noun} or {{kind: name, ...}}; there are: {known}")
        settings = {key: setting for key, setting in value.items() if key != "kind"}
        # As JSON, because strict Python wants a tuple where a spec can only write a list.
        return self.load(kind).model_validate_json(json.dumps(settings, default=_plain))

    # Pydantic: `Annotated[Part, FAMILY]` is a spec field that takes a name or a mapping.
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda part: part.settings() if isinstance(part, Part) else part
            ),
        )

    def _validate(self, value: Any) -> Part:
        try:
            return self.make(value)
        except (Error, TypeError) as error:
            what = f"{error.what}; {error.fix}" if isinstance(error, Error) else str(error)
            # Braces would be taken for a template of pydantic's.
            raise PydanticCustomError("part", "{what}", {"what": what}) from error

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        choices: list[dict[str, Any]] = [{"type": "string", "enum": self.names()}]
        for name in self.names():
            reference = handler(self.load(name).__pydantic_core_schema__)
            body = handler.resolve_ref_schema(reference)
            body["properties"] = {"kind": {"const": name}, **body.get("properties", {})}
            if name != self.default:
                body["required"] = sorted({"kind", *body.get("required", [])})
            choices.append(reference)
        return {"anyOf": choices}


def _plain(value: Any) -> Any:
    return value.settings() if isinstance(value, Part) else str(value)


def _only_part(module: Any, contract: type[Part], noun: str) -> type[Part]:
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, contract)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]
    if len(found) != 1:
        raise Error(
            f"a {noun} module holds one public {contract.__name__}; this one holds {len(found)}",
            where=module.__name__,
            fix="keep one part a file; start the names of its own base classes with an underscore",
        )
    part: type[Part] = found[0]
    return part


READERS = Family("readers", "reader", "tunesmith.data.readers", "Reader")
STEPS = Family("steps", "step", "tunesmith.data.steps", "Step")
LABEL_FUNCTIONS = Family(
    "label_functions", "labelling function", "tunesmith.data.methods.votes.functions", "LabelFunction"
)
METRICS = Family("metrics", "metric", "tunesmith.metrics", "Metric")
JUDGES = Family("judges", "judge", "tunesmith.judges", "Judge", default="rubric")
ARMS = Family("arms", "arm", "tunesmith.evaluate.arms", "Arm")
ADAPTERS = Family("adapters", "adapter", "tunesmith.models.adapters", "Adapter", default="lora")
OBJECTIVES = Family("objectives", "objective", "tunesmith.train.objectives", "Objective")
OPTIMIZERS = Family("optimizers", "optimizer", "tunesmith.train.optimizers", "Optimizer", default="adamw")
SCHEDULES = Family("schedules", "schedule", "tunesmith.train.schedules", "Schedule", default="cosine")
WATCHERS = Family("watchers", "watcher", "tunesmith.train.watchers", "Watcher")
TRACKERS = Family("trackers", "tracker", "tunesmith.trackers", "Tracker")

FAMILIES = (
    READERS,
    STEPS,
    LABEL_FUNCTIONS,
    METRICS,
    JUDGES,
    ARMS,
    ADAPTERS,
    OBJECTIVES,
    OPTIMIZERS,
    SCHEDULES,
    WATCHERS,
    TRACKERS,
)
"""Everything that can be extended."""
