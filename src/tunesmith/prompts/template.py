"""Templates: a record's text, labels and slices put into words, in a sandbox.

A template is text with `{{ places }}`: `text`, `labels` (all labels of the data), and any column kept as a slice.
It may use `{% if %}`, one level of `{% for %}`, comparisons and a few filters, nothing else: no calls, no
attributes, no arithmetic. So it can neither reach the machine nor grow without bound.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment
from ruamel.yaml import YAML

from tunesmith.errors import DataError, NotFound, UserError, did_you_mean
from tunesmith.records import Message, Record

LIBRARY = Path(__file__).parent / "library"
MAX_TEMPLATE = 20_000
"""The most characters of a template."""
MAX_RENDERED = 10_000_000
"""The most characters of a rendered prompt."""

Shots = Callable[[Record], Sequence[Record]]
"""Which rows are shown before a row."""
Vary = Literal["first", "all"] | int
"""Which wordings of a template are used."""

_OWN_PLACES = ("text", "labels")
_FILTERS = ("capitalize", "default", "first", "join", "last", "length", "lower", "replace", "title", "trim", "upper")
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.List, nodes.Tuple,
    nodes.Filter, nodes.If, nodes.For, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.Not, nodes.And,
    nodes.Or, nodes.Test,
)  # fmt: skip


def template_names() -> list[str]:
    """The templates of the library, by the tasks they are for."""
    return sorted(file.stem for file in LIBRARY.glob("*.yaml"))


def wordings(template: str | None, task: str | None = None, vary: Vary = "all") -> tuple[str, ...]:
    """The ways a template asks, its first one first; none where no template is named.

    Args:
        template: a name of the library, or text with places, which has one wording.
        task: the goal's task, which names the template where none is written.
        vary: `first`, `all`, or how many.

    Raises:
        NotFound: it looks like a name and there is none like it in the library.
        UserError: fewer wordings are there than asked for.
    """
    written = _written(template, task)
    count = {"first": 1, "all": len(written)}.get(str(vary)) or int(vary)
    if written and count > len(written):
        raise UserError(
            f"the template has {len(written)} {'wording' if len(written) == 1 else 'wordings'}, not {count}",
            where="prompt.wordings",
            fix=f"write a number from 2 to {len(written)}, all, or first",
        )
    return written[:count]


def places(template: str | None, task: str | None = None) -> set[str]:
    """The columns a template names, beside `text` and `labels`.

    Raises:
        NotFound: it looks like a name and there is none like it in the library.
        UserError: it cannot be read, is too long, or uses what templates may not.
    """
    found: set[str] = set()
    for written in _written(template, task):
        _compiled(written)
        found |= find_undeclared_variables(_environment().parse(written))
    return found - set(_OWN_PLACES)


def render(
    records: Sequence[Record],
    template: str | None,
    system: str | None,
    task: str | None,
    labels: Sequence[str],
    *,
    vary: Vary = "first",
    seed: int = 0,
    examples: Sequence[Record] | Shots = (),
    ending: str = "",
) -> list[Record]:
    """Makes conversations of texts with labels or spans, and puts the template around single questions.

    A label becomes the answer as it is, several parted by commas; spans become JSON, the label of the whole first,
    then each stretch by its name in the order of `labels`, several of one name as a list. Conversations of one
    question get the template around the question; longer ones and preferences get the system message alone.
    Texts without label or spans stay as they are.

    Args:
        template: a name of the library or text with places; None for the one named like the task.
        system: put before conversations that have no system message of their own.
        task: the goal's task, which names the template where none is written.
        labels: all labels (or names of spans) of the data, in order.
        vary: how many of the template's wordings are used; each row's is drawn by its id, so that it is the same
            every time. What is measured is asked in the first.
        seed: another seed draws other wordings.
        examples: rows that are asked and answered before single questions, in the first wording; a row that is one
            of them goes without it. Their answers are not trained. A function says which, row by row.
        ending: put after single questions, but not after those of examples.

    Raises:
        NotFound, UserError: as `places` and `wordings`; or the template names a column that the rows do not have.
    """
    compiled = [_compiled(written) for written in wordings(template, task, vary)]
    wanted = places(template, task)
    known: dict[str, tuple[Message, ...]] = {}

    def shown(shot: Record) -> tuple[Message, ...]:
        if shot.id not in known:
            turns = _rendered(shot, compiled[0] if compiled else None, wanted, None, labels).messages
            answered = tuple(replace(turn, trained=False) for turn in turns if turn.role != "system")
            known[shot.id] = answered if _is_single(turns) else ()
        return known[shot.id]

    found = []
    for record in records:
        chosen = compiled[_draw(record.id, seed, len(compiled))] if compiled else None
        shots = examples(record) if callable(examples) else examples
        before = tuple(turn for shot in shots if shot.id != record.id for turn in shown(shot))
        found.append(_rendered(record, chosen, wanted, system, labels, before, ending))
    return found


def _draw(name: str, seed: int, count: int) -> int:
    if count == 1:
        return 0
    return int.from_bytes(blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest(), "big") % count


def answer_of(record: Record, labels: Sequence[str]) -> str | None:
    """What a model should say of a record with a label or spans, as text; None for other records."""
    if record.spans is None:
        return ", ".join(record.labels) or None
    slots: dict[str, list[str]] = {}
    for span in record.spans:
        slots.setdefault(span.label, []).append((record.text or "")[span.start : span.end])
    said: dict[str, str | list[str]] = {}
    if record.labels:
        if "label" in slots:
            raise DataError(
                "a stretch is called 'label', like the label of the whole",
                where=record.source,
                fix="rename that stretch in the data, or leave `label` out of the source's map",
            )
        said["label"] = record.label or list(record.labels)
    order = {name: at for at, name in enumerate(labels)}
    for name in sorted(slots, key=lambda name: (order.get(name, len(order)), name)):
        found = slots[name]
        said[name] = found[0] if len(found) == 1 else found
    return json.dumps(said, ensure_ascii=False)


def _rendered(
    record: Record,
    template: Template | None,
    wanted: Iterable[str],
    system: str | None,
    labels: Sequence[str],
    before: tuple[Message, ...] = (),
    ending: str = "",
) -> Record:
    messages = record.messages
    answer = None if messages else answer_of(record, labels)
    if answer is not None:
        question = _filled(template, record, record.text or "", wanted, labels) + ending
        messages = (*before, Message("user", question), Message("assistant", answer, trained=True))
    elif _is_single(messages):
        asked = tuple(
            replace(turn, content=_filled(template, record, turn.content, wanted, labels) + ending)
            for turn in messages
            if turn.role == "user"
        )
        own = tuple(turn for turn in messages if turn.role == "system")
        messages = (*own, *before, *asked, *(turn for turn in messages if turn.role == "assistant"))
    if system and messages and messages[0].role != "system":
        messages = (Message("system", system), *messages)
    return replace(record, messages=messages)


def _is_single(messages: Sequence[Message]) -> bool:
    return [turn.role for turn in messages if turn.role != "system"] == ["user", "assistant"]


def _filled(template: Template | None, record: Record, text: str, wanted: Iterable[str], labels: Sequence[str]) -> str:
    if template is None:
        return text
    missing = [name for name in wanted if name not in record.slices]
    if missing:
        known = [*_OWN_PLACES, *record.slices]
        raise UserError(
            f"the template names {missing[0]!r}, which is no column{did_you_mean(missing[0], known)}",
            where="prompt.template",
            fix=f"use one of: {', '.join(known)}",
        )
    parts, length = [], 0
    try:
        for part in template.generate({**record.slices, "text": text, "labels": list(labels)}):
            parts.append(part)
            length += len(part)
            _refuse_growth(length)
    except (TemplateError, TypeError, ValueError) as error:
        raise UserError(
            f"the template fails: {error}", where=f"prompt.template, {record.source}", fix="mend the template"
        ) from error
    return "".join(parts)


# Reading ----------------------------------------------------------------------------------------


def _written(template: str | None, task: str | None) -> tuple[str, ...]:
    """The template's wordings: of the library by name, or as the user wrote it."""
    if template is None:
        return _library(task) if task in template_names() else ()
    if template in template_names():
        return _library(template)
    if "{" in template or any(c.isspace() for c in template):
        return (template,)
    raise NotFound(
        f"no template {template!r}{did_you_mean(template, template_names())}",
        where="prompt.template",
        fix=f"use one of: {', '.join(template_names())}; or text with a place {{{{ text }}}}",
    )


@lru_cache
def _library(name: str | None) -> tuple[str, ...]:
    return tuple(YAML(typ="safe", pure=True).load((LIBRARY / f"{name}.yaml").read_text("utf-8"))["wordings"])


def _replaced(text: object, old: str, new: str) -> str:
    """The filter `replace`, which could make of two texts one as long as their product."""
    said = str(text)
    _refuse_growth(len(said) + (said.count(old) if old else len(said) + 1) * len(new))
    return said.replace(old, new)


def _joined(items: Iterable[object], between: str = "") -> str:
    """The filter `join`."""
    said = [str(item) for item in items]
    _refuse_growth(sum(map(len, said)) + len(between) * len(said))
    return between.join(said)


def _refuse_growth(length: int) -> None:
    if length > MAX_RENDERED:
        raise UserError(
            f"the template makes a prompt of more than {MAX_RENDERED:,} characters",
            where="prompt.template",
            fix="shorten the template or the row",
        )


_BOUNDED = {"replace": _replaced, "join": _joined}


@lru_cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters = {**{name: environment.filters[name] for name in _FILTERS}, **_BOUNDED}
    environment.globals = {}
    return environment


@lru_cache
def _compiled(written: str) -> Template:
    if len(written) > MAX_TEMPLATE:
        raise _refused(f"longer than {MAX_TEMPLATE:,} characters")
    try:
        tree = _environment().parse(written)
    except TemplateError as error:
        raise _refused(f"cannot be read: {error}") from error
    # Before it is compiled: the compiler works out what is constant, `9 ** 9999999` for instance.
    for node in _walk(tree):
        if not isinstance(node, _ALLOWED):
            raise _refused(f"uses {type(node).__name__}, which templates may not")
        if isinstance(node, nodes.For) and any(
            isinstance(inner, nodes.For) for inner in _walk(node) if inner is not node
        ):
            raise _refused("holds a loop in a loop")
    try:
        named, compiled = find_undeclared_variables(tree), _environment().from_string(written)
    except TemplateError as error:
        raise _refused(f"cannot be read: {error}") from error
    if "text" not in named:
        raise _refused("has no place {{ text }}, so every row would be asked the same")
    return compiled


def _walk(node: Any) -> Iterable[Any]:
    yield node
    for child in node.iter_child_nodes():
        yield from _walk(child)


def _refused(what: str) -> UserError:
    return UserError(
        f"the template {what}",
        where="prompt.template",
        fix=f"write text with places, {{% if %}}, {{% for %}} and the filters {', '.join(_FILTERS)}",
    )
