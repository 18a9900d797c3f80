"""Recognises what the columns of a source are for, or follows a written map.

The rules stand in `_RULES`, the most telling first; the first that is sure enough wins, says why and how sure it is,
and names the next best. Names of columns are in `tunesmith.data.read.names`; turning rows into records is in
`tunesmith.data.read.row`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from tunesmith.data.read.names import KNOWN, PROMPTS_AND_ANSWERS, ROLES, first_of, language_of
from tunesmith.data.read.recognised import Recognised
from tunesmith.data.read.row import to_record
from tunesmith.data.read.values import BadRow, inside, is_missing, listed
from tunesmith.data.read.votes import role_of, spread
from tunesmith.data.readers import Row
from tunesmith.errors import DataError, did_you_mean
from tunesmith.records import Shape

SAMPLE = 200
"""Rows looked at to recognise a source."""
SURE_ENOUGH = 0.6
"""A reading that is less sure is only suggested."""

_BY_NAME, _BY_CONTENT, _GUESSED = 0.97, 0.85, 0.5
"""How telling it is when all roles go by names, when the text is the only prose, when nothing goes by a name."""
_NEXT = 0.2
"""How likely a later rule is, beside an earlier one that fits as well."""
_TRIED = 50
_NESTED = 20

Kind = Literal["text", "texts", "numbers", "objects", "object", "none"]


def recognise(rows: Sequence[Row], written: Mapping[str, str | list[str]] | None, task: str | None) -> Recognised:
    """Finds the role of each column.

    Args:
        rows: the first rows of the source, up to `SAMPLE`.
        written: role -> column as the user wrote it; None to recognise.
        task: the goal's task, which decides between readings that both fit.

    Raises:
        DataError: there are no rows, the map does not fit the columns, or nothing is recognised surely enough; the
            message lists the columns and offers maps.
    """
    if not rows:
        raise DataError("holds no row that can be read", fix="look at its broken rows, or take the source out")
    table = _Table(rows)
    if written is not None:
        return _follow(table, written)
    readings = _weighed(table, task)
    if not readings or readings[0].sure < SURE_ENOUGH:
        raise _unrecognised(table, task, readings)
    best, *others = readings
    identity = table.column("id", "text")
    columns = best.columns if identity is None else {**best.columns, "id": identity}
    return replace(best, columns=columns, others=tuple(others))


def _weighed(table: _Table, task: str | None) -> list[Recognised]:
    """Every reading that fits, as sure as it is beside the others, but those that say less than an earlier one."""
    found: list[Recognised] = []
    rules = (_labelled, *_RULES) if task == "classify" else _RULES
    for rule in rules:
        if rule in _LAST_RESORTS and any(reading.sure >= SURE_ENOUGH for reading in found):
            continue
        for reading in rule(table, task):
            used = set(reading.columns.values())
            if not any(used <= set(other.columns.values()) for other in found):
                found.append(replace(reading, sure=reading.sure * _fit(table, reading)))
    shares = [reading.sure * _NEXT**place for place, reading in enumerate(found)]
    weighed = [
        replace(reading, sure=round(min(0.99, reading.sure * share / sum(shares)), 2))
        for reading, share in zip(found, shares, strict=True)
    ]
    first = next((reading for reading in weighed if reading.sure >= SURE_ENOUGH), None)
    return weighed if first is None else [first, *(reading for reading in weighed if reading is not first)]


def _fit(table: _Table, reading: Recognised) -> float:
    """From 0.7 to 1, by the share of sampled rows with values in its columns that make a record."""
    made = tried = 0
    for row in table.rows[:_TRIED]:
        if any(
            is_missing(inside(row.values, column)) for column in reading.columns.values() if column not in row.values
        ):
            continue
        tried += 1
        try:
            to_record(row, reading)
            made += 1
        except BadRow:
            pass
    return 0.7 + 0.3 * (made / tried if tried else 1.0)


class _Table:
    """The sampled rows, column by column."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.where = rows[0].where.rpartition(":")[0]
        self.rows = rows
        self.named_columns = list(dict.fromkeys(name for row in rows for name in row.values))
        self._kinds: dict[str, Kind] = {}
        self.columns = [*self.named_columns, *self._nested()]

    def _nested(self) -> list[str]:
        """Columns inside of the objects of another, `outer.inner`."""
        found = {
            f"{name}.{key}": None
            for name in self.named_columns
            if self.kind(name) == "object"
            for value in self.values(name)
            if isinstance(value, Mapping)
            for key in value
        }
        return list(found)[:_NESTED]

    def values(self, column: str) -> list[Any]:
        """What stands in a column, missing values left out."""
        found = (row.values[column] if column in row.values else inside(row.values, column) for row in self.rows)
        return [value for value in found if not is_missing(value)]

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


def _found(shape: Shape, columns: dict[str, str | None], what: str, sure: float = _BY_NAME) -> Recognised:
    present = {role: column for role, column in columns.items() if column is not None}
    return Recognised(shape, present, f"{_quoted(list(present.values()))}: {what}", sure)


# The rules --------------------------------------------------------------------------------------


def _conversations(table: _Table, task: str | None) -> Iterator[Recognised]:
    messages = table.column("messages", "objects")
    if messages is not None:
        yield _found("chat", {"messages": messages, "system": table.column("system", "text")}, "conversations")


def _preferences(table: _Table, task: str | None) -> Iterator[Recognised]:
    chosen, rejected = (table.column(role, "text", "objects") for role in ("chosen", "rejected"))
    if chosen is None or rejected is None:
        return
    prompt = table.named(("prompt", "question", "instruction", "query"), "text", "objects")
    system = table.column("system", "text")
    columns = {"prompt": prompt, "chosen": chosen, "rejected": rejected, "system": system}
    yield _found("pair", columns, "preferred and rejected answers")


def _tagged(table: _Table, task: str | None) -> Iterator[Recognised]:
    tokens, tags = table.column("tokens", "texts"), table.column("tags", "texts", "numbers")
    if tokens is None or tags is None:
        return
    if table.kind(tags) == "numbers":
        raise DataError(
            f"the tags in column {tags!r} are numbers, and the file does not say what they mean",
            where=table.where,
            fix="write their names (O, B-PER, I-PER ...) into the column",
        )
    yield _found("spans", {"tokens": tokens, "tags": tags}, "words with a tag each")


def _spans(table: _Table, task: str | None) -> Iterator[Recognised]:
    text, spans = table.column("text", "text"), table.column("spans", "objects")
    if text is None or spans is None:
        return
    label = table.column("label", "text")
    what = "texts with labelled stretches" + (" and a label" if label else "")
    yield _found("spans", {"text": text, "spans": spans, "label": label}, what)


def _turns(table: _Table, task: str | None) -> Iterator[Recognised]:
    fitting = [each for each in PROMPTS_AND_ANSWERS if each[3] == task]
    for prompts, answers, what, _ in (*fitting, *PROMPTS_AND_ANSWERS):
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
        yield _found("chat", columns, what)


def _translations(table: _Table, task: str | None) -> Iterator[Recognised]:
    texts = [column for column in table.columns if table.kind(column) == "text" and column in table.prose]
    languages = {language: column for column in texts if (language := language_of(column))}
    if len(languages) < 2 or len(languages) < len([column for column in texts if language_of(column)]):
        return
    first = "en" if "en" in languages else next(iter(languages))
    others = [language for language in languages if language != first]
    for other in others:
        columns: dict[str, str | None] = {"prompt": languages[first], "answer": languages[other]}
        sure = _BY_CONTENT if len(others) == 1 else _GUESSED
        yield _found("chat", columns, f"texts and their translations, {first} to {other}", sure)


def _labelled(table: _Table, task: str | None) -> Iterator[Recognised]:
    labels = table.column("labels", "texts", "numbers") or table.column("label", "texts", "numbers")
    # A label column without a single value is still one: its rows are then counted as lost, not read as prose.
    label = table.column("label", "text") or table.column("labels", "text") or table.column("label", "none")
    column = labels or label
    if column is None:
        return
    text, sure = table.named([name for name in KNOWN["text"] if name != column], "text"), _BY_NAME
    if text == column:
        text = None
    if text is None and len(table.prose) == 1 and table.prose[0] != column:
        text, sure = table.prose[0], _BY_CONTENT
    if text is None:
        return
    if labels is not None:
        yield _found("label", {"text": text, "labels": labels}, "texts with several labels", sure)
    else:
        yield _found("label", {"text": text, "label": label}, "texts with a label", sure)


def _prose(table: _Table, task: str | None) -> Iterator[Recognised]:
    text, sure = table.column("text", "text"), _BY_NAME
    if text is None and len(table.columns) == 1 and table.prose:
        text, sure = table.prose[0], _BY_CONTENT
    if text is not None and task != "classify":
        yield _found("text", {"text": text}, "prose", sure)


def _guesses(table: _Table, task: str | None) -> Iterator[Recognised]:
    """What the values alone suggest; never sure enough."""
    prose = table.prose
    categories = [column for column in table.categories if column not in prose]
    if prose and categories and task in (None, "classify"):
        for label in categories[:2]:
            yield _found("label", {"text": prose[0], "label": label}, "texts with a label", _GUESSED)
    if len(prose) > 1 and task != "classify":
        first, second = sorted(prose[:2], key=table.columns.index)
        yield _found("chat", {"prompt": first, "answer": second}, "prompts and responses", _GUESSED)
    if prose and task in (None, "generate"):
        yield _found("text", {"text": prose[0]}, "prose", _GUESSED / 2)


_RULES: tuple[Callable[[_Table, str | None], Iterator[Recognised]], ...] = (
    _preferences,
    _conversations,
    _tagged,
    _spans,
    _turns,
    _translations,
    _labelled,
    _prose,
    _guesses,
)
_LAST_RESORTS = (_prose, _guesses)
"""What says less than any other, and is no alternative to it."""


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


def _unrecognised(table: _Table, task: str | None, readings: Sequence[Recognised]) -> DataError:
    columns = table.named_columns
    nested = [column for column in columns if table.kind(column) in ("objects", "object")]
    said = f"cannot tell what its {_quoted(columns)} {'is' if len(columns) == 1 else 'are'} for"
    if readings:
        maps = [_as_map(reading) for reading in readings[:3]]
        fix = f"say it: {{path: {table.where}, map: {maps[0]}}}"
        if len(maps) > 1:
            fix += f"; or {' or '.join(maps[1:])}"
        said += f"; the likeliest is {readings[0].why}, {readings[0].sure:.0%} sure"
    elif nested:
        fix = "write one row for each example, for instance as JSON Lines"
        said += f"; {nested[0]!r} holds nested objects, which have to be flattened to one example a row"
    else:
        fix = f"say it: {{path: {table.where}, map: {{text: COLUMN, label: COLUMN}}}}"
    if task == "classify" and not any("label" in reading.columns for reading in readings):
        said += "; to classify, a label is needed beside the text"
    return DataError(said, where=table.where, fix=fix)


def _as_map(reading: Recognised) -> str:
    return "{" + ", ".join(f"{role}: {column}" for role, column in reading.columns.items()) + "}"
