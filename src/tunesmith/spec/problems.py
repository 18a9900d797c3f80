"""What pydantic found, in plain words: what is wrong at a place and what to write there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from tunesmith.errors import did_you_mean
from tunesmith.spec.outline import Key, fields, trace


def explain(error: ValidationError, tree: Any) -> list[tuple[tuple[Key, ...], str]]:
    """Turns a validation error into (path, what is wrong) pairs.

    Args:
        error: what pydantic raised for `tree`.
        tree: the written values.
    """
    found: dict[tuple[Key, ...], list[str]] = {}
    for details in error.errors(include_url=False):
        path, model, field = trace(details["loc"], tree)
        words = found.setdefault(path, [])
        what = _say(details, model, field)
        if what not in words:
            words.append(what)
    return [(path, "; or ".join(words)) for path, words in found.items()]


def _say(details: ErrorDetails, model: type[BaseModel] | None, field: FieldInfo | None) -> str:
    kind, given, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(str(details["loc"][-1]), model)
    if kind == "missing" and isinstance(details["loc"][-1], int):
        return "an entry is missing here"
    if kind == "missing":
        return f"is missing; it says: {help_of(field)}"
    if kind in _TYPES:
        return f"{_TYPES[kind](given)}, not {show(given)}"
    if kind in _RULES:
        return _RULES[kind](context, given)
    if kind not in get_args(ErrorType):
        return details["msg"]  # a part's own words
    return f"{show(given)} does not fit; it says: {help_of(field)}"


def _unknown(name: str, model: type[BaseModel] | None) -> str:
    known = sorted(model.model_fields) if model else []
    near = did_you_mean(name, known, likeness=0.8) or _elsewhere(name) or did_you_mean(name, known)
    return f"no field {name!r}{near}; known here: {', '.join(known) or 'none'}"


_OTHER_NAMES = {
    "batch_size": "train.batch",
    "dataset": "data.sources",
    "epochs": "train.duration",
    "gradient_accumulation_steps": "train.micro_batch",
    "learning_rate": "train.optimizer.lr",
    "lr_scheduler": "train.schedule",
    "max_seq_length": "data.max_length",
    "model_name": "base.model",
    "num_train_epochs": "train.duration",
    "r": "train.adapter.rank",
    "system_prompt": "prompt.system",
}
"""What fields are called in other tools -> what they are called here."""


def _elsewhere(name: str) -> str:
    """Where a field of that name stands, when it stands in another section."""
    path = _OTHER_NAMES.get(name) or next((p for p, _ in fields() if p.rpartition(".")[2] == name), None)
    return f" (did you mean {path}?)" if path else ""


def help_of(field: FieldInfo | None) -> str:
    """The docstring under a field, on one line."""
    return " ".join((field.description or "").split()) if field else ""


def show(value: Any) -> str:
    """A value as the user wrote it, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    text = repr(value) if isinstance(value, (str, int, float)) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text(given: Any) -> str:
    return f'write text, in quotes: "{show(given)}"' if isinstance(given, (int, float)) else "write text"


def _list(given: Any) -> str:
    return f"write a list: [{given}]" if isinstance(given, (str, int, float)) else "write a list: [first, second]"


def _constant(words: str) -> Callable[[Any], str]:
    return lambda given: words


_MAPPING = _constant("write settings: `key: value` lines below it, or {key: value}")
_WHOLE = _constant("write a whole number")
_NUMBER = _constant("write a number")
_BOOL = _constant("write true or false")

_TYPES: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("string_type", "string_unicode"), _text),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number", "decimal_type", "decimal_parsing"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), _BOOL),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), _list),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"), _MAPPING),
    "none_required": _constant("leave it empty"),
}
"""Errors of type -> what to write."""


def _choice(context: Mapping[str, Any], given: Any) -> str:
    names = re.findall(r"'([^']*)'", str(context.get("expected", ""))) or [str(context.get("expected", ""))]
    near = did_you_mean(given, names) if isinstance(given, str) else ""
    return f"{show(given)} is not one of its values{near}; write one of: {', '.join(names)}"


def _raised(context: Mapping[str, Any], given: Any) -> str:
    return str(context["error"])


def _said(context: Mapping[str, Any], given: Any) -> str:
    return str(context["what"])


def _bound(key: str, words: str) -> Callable[[Mapping[str, Any], Any], str]:
    return lambda context, given: f"must be {words} {context[key]}, not {show(given)}"


def _count(key: str, words: str) -> Callable[[Mapping[str, Any], Any], str]:
    def say(context: Mapping[str, Any], given: Any) -> str:
        one, many = ("character", "characters") if isinstance(given, str) else ("entry", "entries")
        return f"needs {words} {context[key]} {one if context[key] == 1 else many}"

    return say


_RULES: dict[str, Callable[[Mapping[str, Any], Any], str]] = {
    "literal_error": _choice,
    "enum": _choice,
    "value_error": _raised,
    "assertion_error": _raised,
    "part": _said,
    "quantity": _said,
    "greater_than": _bound("gt", "above"),
    "greater_than_equal": _bound("ge", "at least"),
    "less_than": _bound("lt", "below"),
    "less_than_equal": _bound("le", "at most"),
    "multiple_of": _bound("multiple_of", "a multiple of"),
    "too_short": _count("min_length", "at least"),
    "too_long": _count("max_length", "at most"),
    "string_too_short": _count("min_length", "at least"),
    "string_too_long": _count("max_length", "at most"),
}
"""Errors of rule -> what is wrong."""
