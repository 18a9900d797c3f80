"""Recognises what the columns of a source are for, or follows a written map.

The rules stand in `_RULES`, the most telling first; the first that fits most sampled rows wins, and says
why. Names of columns are in `tunesmith.data.read.names`; turning rows into records is in `tunesmith.data.read.row`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from tunesmith.data.read.names import KNOWN, PROMPTS_AND_ANSWERS, ROLES, first_of
from tunesmith.data.read.values import is_missing, listed
from tunesmith.data.read.votes import role_of, spread
from tunesmith.data.readers import Row
from tunesmith.errors import DataError, did_you_mean
from tunesmith.records import Shape

SAMPLE = 200
"""Rows looked at to recognise a source."""

Kind = Literal["text", "texts", "numbers", "objects", "object", "none"]


@dataclass(frozen=True)
class Recognised:
    """What the columns of a source are for."""

    shape: Shape
    columns: dict[str, str]
    """Role -> column."""
    why: str
    """`columns 'text' and 'label': texts with a label`."""


def recognise(rows: Sequence[Row], written: Mapping[str, str | list[str]] | None, task: str | None) -> Recognised:
    """Finds the role of each column.

    Args:
        rows: the first rows of the source, up to `SAMPLE`.
        written: role -> column as the user wrote it; None to recognise.
        task: the goal's task, which decides between readings that both fit.

    Raises:
        DataError: there are no rows, the map does not fit the columns, or nothing is recognised; the message
            lists the columns and offers a map.
    """
    if not rows:
        raise DataError("holds no row that can be read", fix="look at its broken rows, or take the source out")
    table = _Table(rows)
    if written is not None:
        return _follow(table, written)
    rules = (_labelled, *_RULES) if task == "classify" else _RULES
    for rule in rules:
        found = rule(table)
        if found is not None:
            identity = table.column("id", "text")
            return found if identity is None else Recognised(found.shape, {**found.columns, "id": identity}, found.why)
    raise _unrecognised(table, task)


class _Table:
    """The sampled rows, column by column."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.where = rows[0].where.rpartition(":")[0]
        self.columns = list(dict.fromkeys(name for row in rows for name in row.values))
        self._rows = rows
        self._kinds: dict[str, Kind] = {}

    def values(self, column: str) -> list[Any]:
        """What stands in a column, missing values left out."""
        return [value for row in self._rows if not is_missing(value := row.values.get(column))]

    def kind(self, column: str) -> Kind:
        """What most values of a column are."""
        if column not in self._kinds:
            kinds = [_kind(value) for value in self.values(column)]
            self._kinds[column] = max(dict.fromkeys(kinds), key=kinds.count, default="none")
        return self._kinds[column]

    def column(self, role: str, *kinds: Kind) -> str | None:
        """The column that plays a role by its name and holds values of one of these kinds."""
        return self.named(KNOWN[role], *kinds)

    def named(self, names: Sequence[str], *kinds: Kind) -> str | None:
        """The first of these names that is a column holding values of one of these kinds."""
        return first_of(names, [column for column in self.columns if self.kind(column) in kinds])

    @cached_property
    def prose(self) -> list[str]:
        """Columns of running text: most values are several words and few stand twice; the longest first."""
        found = []
        for column in self.columns:
            values = [value for value in self.values(column) if isinstance(value, str)]
            wordy = sum(len(value.split()) > 2 for value in values)
            if self.kind(column) == "text" and wordy > len(values) / 2 and len(set(values)) > len(values) / 3:
                found.append((sum(map(len, values)), column))
        return [column for _, column in sorted(found, key=lambda pair: -pair[0])]

    @cached_property
    def categories(self) -> list[str]:
        """Columns of few short values, the likely labels; the fewest different values first."""
        found = []
        for column in self.columns:
            values = [str(value) for value in self.values(column)]
            if self.kind(column) == "text" and 1 < len(set(values)) <= max(2, len(values) / 3):
                found.append((len(set(values)), column))
        return [column for _, column in sorted(found, key=lambda pair: pair[0])]


def _kind(value: Any) -> Kind:
    items = listed(value)
    if items is None:
        return "object" if isinstance(value, Mapping) else "text"
    if not items:
        return "none"
    if isinstance(items[0], (Mapping, list, tuple)):
        return "objects"
    return "texts" if isinstance(items[0], str) else "numbers"


def _quoted(columns: Sequence[str]) -> str:
    said = [repr(column) for column in columns]
    if len(said) < 2:
        return f"column {''.join(said)}"
    return f"columns {', '.join(said[:-1])} and {said[-1]}"


def _found(shape: Shape, columns: dict[str, str | None], what: str) -> Recognised:
    present = {role: column for role, column in columns.items() if column is not None}
    return Recognised(shape, present, f"{_quoted(list(present.values()))}: {what}")


# The rules --------------------------------------------------------------------------------------


def _conversations(table: _Table) -> Recognised | None:
    messages = table.column("messages", "objects")
    if messages is None:
        return None
    return _found("chat", {"messages": messages, "system": table.column("system", "text")}, "conversations")


def _preferences(table: _Table) -> Recognised | None:
    chosen, rejected = (table.column(role, "text", "objects") for role in ("chosen", "rejected"))
    if chosen is None or rejected is None:
        return None
    prompt = table.named(("prompt", "question", "instruction", "query"), "text", "objects")
    system = table.column("system", "text")
    columns = {"prompt": prompt, "chosen": chosen, "rejected": rejected, "system": system}
    return _found("pair", columns, "preferred and rejected answers")


def _tagged(table: _Table) -> Recognised | None:
    tokens, tags = table.column("tokens", "texts"), table.column("tags", "texts", "numbers")
    if tokens is None or tags is None:
        return None
    if table.kind(tags) == "numbers":
        raise DataError(
            f"the tags in column {tags!r} are numbers, and the file does not say what they mean",
            where=table.where,
            fix="write their names (O, B-PER, I-PER ...) into the column",
        )
    return _found("spans", {"tokens": tokens, "tags": tags}, "words with a tag each")


def _spans(table: _Table) -> Recognised | None:
    text, spans = table.column("text", "text"), table.column("spans", "objects")
    if text is None or spans is None:
        return None
    label = table.column("label", "text")
    what = "texts with labelled stretches" + (" and a label" if label else "")
    return _found("spans", {"text": text, "spans": spans, "label": label}, what)


def _turns(table: _Table) -> Recognised | None:
    for prompts, answers, what in PROMPTS_AND_ANSWERS:
        prompt = table.named(prompts, "text")
        answer = table.named(answers, "text", "texts", "object")
        if prompt is None or answer is None or prompt == answer:
            continue
        context = table.column("context", "text")
        further = table.column("input", "text")
        columns = {
            "prompt": prompt,
            "input": further if further not in (prompt, answer) else None,
            "context": context if context in table.prose and context not in (prompt, answer) else None,
            "answer": answer,
            "system": table.column("system", "text"),
        }
        return _found("chat", columns, what)
    return None


def _labelled(table: _Table) -> Recognised | None:
    labels = table.column("labels", "texts", "numbers") or table.column("label", "texts", "numbers")
    # A label column without a single value is still one: its rows are then counted as lost, not read as prose.
    label = table.column("label", "text") or table.column("labels", "text") or table.column("label", "none")
    column = labels or label
    if column is None:
        return None
    text = table.named([name for name in KNOWN["text"] if name != column], "text")
    if text == column:
        text = None
    if text is None and len(table.prose) == 1 and table.prose[0] != column:
        text = table.prose[0]
    if text is None:
        return None
    if labels is not None:
        return _found("label", {"text": text, "labels": labels}, "texts with several labels")
    return _found("label", {"text": text, "label": label}, "texts with a label")


def _prose(table: _Table) -> Recognised | None:
    text = table.column("text", "text")
    if text is None and len(table.columns) == 1 and table.prose:
        text = table.prose[0]
    return None if text is None else _found("text", {"text": text}, "prose")


_RULES: tuple[Callable[[_Table], Recognised | None], ...] = (
    _conversations,
    _preferences,
    _tagged,
    _spans,
    _turns,
    _labelled,
    _prose,
)


# A written map ----------------------------------------------------------------------------------

_COMBINATIONS: tuple[tuple[Shape, tuple[str, ...], tuple[str, ...]], ...] = (
    ("chat", ("messages",), ("system",)),
    ("pair", ("chosen", "rejected"), ("prompt", "system")),
    ("spans", ("tokens", "tags"), ("label",)),
    ("spans", ("text", "spans"), ("label",)),
    ("chat", ("prompt", "answer"), ("input", "context", "system")),
    ("label", ("text", "label"), ()),
    ("label", ("text", "labels"), ()),
    ("label", ("text", "votes"), ("label",)),
    ("text", ("text",), ()),
)
"""Shape, the roles it needs, and the roles it may have beside `id`."""


def _follow(table: _Table, said: Mapping[str, str | list[str]]) -> Recognised:
    try:
        written = spread(said)
    except ValueError as error:
        raise DataError(
            f"map: {error}: takes one column, not a list", where=table.where, fix="only votes may name several columns"
        ) from error
    for role, column in written.items():
        if role_of(role) not in ROLES:
            raise DataError(
                f"map: no role {role!r}{did_you_mean(role, ROLES)}",
                where=table.where,
                fix=f"use roles of: {', '.join(ROLES)}",
            )
        if column not in table.columns:
            raise DataError(
                f"map: {role}: there is no column {column!r}{did_you_mean(column, table.columns)}",
                where=table.where,
                fix=f"the columns are: {', '.join(map(repr, table.columns))}",
            )
    roles = set(map(role_of, written)) - {"id"}
    for shape, needed, also in _COMBINATIONS:
        if roles.issuperset(needed) and roles.issubset((*needed, *also)):
            return Recognised(shape, dict(written), f"as its map says: {_quoted(list(written.values()))}")
    raise DataError(
        f"map: the roles {', '.join(sorted(roles)) or 'none'} do not make a row",
        where=table.where,
        fix="map one of: " + "; ".join(" + ".join(needed) for _, needed, _ in _COMBINATIONS),
    )


def _unrecognised(table: _Table, task: str | None) -> DataError:
    nested = [column for column in table.columns if table.kind(column) in ("objects", "object")]
    prose, categories = table.prose, [column for column in table.categories if column not in table.prose]
    if len(prose) > 1 and task != "classify":
        offer = f"{{prompt: {prose[0]}, answer: {prose[1]}}}"
    elif prose and categories:
        offer = f"{{text: {prose[0]}, label: {categories[0]}}}"
    elif prose:
        offer = f"{{text: {prose[0]}}}"
    else:
        offer = "{text: COLUMN, label: COLUMN}"
    said = f"cannot tell what its {_quoted(table.columns)} {'is' if len(table.columns) == 1 else 'are'} for"
    fix = f"say it: {{path: {table.where}, map: {offer}}}"
    if nested and not prose:
        fix = "write one row for each example, for instance as JSON Lines"
    if nested:
        said += f"; {nested[0]!r} holds nested objects, which have to be flattened to one example a row"
    elif task == "classify" and prose:
        said += "; to classify, a label is needed beside the text"
    return DataError(said, where=table.where, fix=fix)
