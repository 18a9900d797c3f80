"""Votes of annotators in one row: a column each, or one column that holds them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.data.read.strict_json import Refused, parse
from tunesmith.data.read.values import BadRow, as_label, as_text, is_missing, listed

_OF = "votes/"
"""Begins the role of a column that holds the votes of one annotator, who is called like the column."""
_WHO = ("annotator", "worker", "rater", "user", "name", "id")
_WHAT = ("label", "vote", "value", "answer")


def spread(written: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    """A written map with one column a role: `{votes: [a, b]}` is `{votes/a: a, votes/b: b}`.

    Raises:
        ValueError: another role names several columns; the message is the role.
    """
    found: dict[str, str] = {}
    for role, columns in written.items():
        if isinstance(columns, str):
            found[role] = columns
        elif role == "votes":
            found.update({_OF + column: column for column in columns})
        else:
            raise ValueError(role)
    return found


def role_of(role: str) -> str:
    """The role itself: `votes` of `votes/a`."""
    return "votes" if role.startswith(_OF) else role


def votes_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Annotator -> label; those who said nothing are left out.

    One column may hold an object of annotator and label, a list of labels (annotators are then called by their place,
    1, 2 ...), or a list of objects with both.

    Raises:
        BadRow: it holds something else.
    """
    found = {role.removeprefix(_OF): value for role, value in values.items() if role.startswith(_OF)}
    found |= _held(values.get("votes"))
    said = {who: what for who, what in found.items() if not is_missing(what)}
    return {who: as_label(what) for who, what in said.items() if as_text(what, "label").strip() not in ("", "NULL")}


def _held(value: Any) -> dict[str, Any]:
    if is_missing(value):
        return {}
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = parse(value)
        except Refused as error:
            raise BadRow("votes are no JSON") from error
    if isinstance(value, Mapping):
        return dict(value)
    items = listed(value)
    if items is None:
        raise BadRow("votes are neither an object nor a list")
    if any(isinstance(item, Mapping) for item in items):
        return dict(map(_named, items))
    return {str(place): item for place, item in enumerate(items, 1)}


def _named(item: Any) -> tuple[str, Any]:
    if isinstance(item, Mapping):
        who = next((item[key] for key in _WHO if key in item), None)
        what = next((key for key in _WHAT if key in item), None)
        if not is_missing(who) and what is not None:
            return as_text(who, "annotator"), item[what]
    raise BadRow("a vote is not {annotator, label}")
