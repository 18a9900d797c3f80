"""Text of a spec file -> plain values, each with the line it stands on.

YAML 1.2 with the core schema (yaml.org/spec/1.2.2, section 10.3.2) and nothing beyond it: `1e-4` is a
number, `no`, `on` and `2026-01-31` are text, a key may stand once, and tags, anchors, aliases and
several documents in one file are refused. JSON files go the same way after a check that they are JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

MAX_CHARACTERS = 200_000
"""A spec is a page or two; anything longer is data in the wrong place."""
_MAX_DEPTH = 32

REFUSED = object()
"""Stands in a tree where something was refused, so that it is not complained of twice."""


@dataclass(frozen=True)
class Fault:
    """Something wrong at a place of a document."""

    path: str
    """Dotted; empty for the whole document."""
    line: int | None
    what: str


@dataclass
class Document:
    """What a file says."""

    tree: Any = None
    lines: dict[str, int] = field(default_factory=dict)
    """Dotted path -> line, from 1; of a key's line for what the key holds."""
    faults: list[Fault] = field(default_factory=list)


def read_document(text: str, *, is_json: bool = False) -> Document:
    """Reads one YAML or JSON document; what is wrong with it is in its `faults`."""
    document = Document()
    try:
        if len(text) > MAX_CHARACTERS:
            raise _Unreadable(1, f"is {len(text):,} characters long; a spec has at most {MAX_CHARACTERS:,}")
        if is_json:
            _check_json(text)
        _Reader(text, document).read()
    except _Unreadable as unreadable:
        document.tree = REFUSED
        document.faults.append(Fault("", unreadable.line, unreadable.what))
    return document


class _Unreadable(Exception):
    def __init__(self, line: int | None, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


class _Reader:
    """Builds the tree out of the parser's events, which know lines and which do not expand anything."""

    def __init__(self, text: str, document: Document) -> None:
        self.events = _events(text)
        self.document = document

    def read(self) -> None:
        starts = 0
        for event in self.events:
            if not isinstance(event, DocumentStartEvent):
                continue
            starts += 1
            if starts > 1:
                raise _Unreadable(_line(event), "a second document starts here; keep one a file")
            if event.version not in (None, (1, 2)):
                raise _Unreadable(_line(event), "specs are YAML 1.2; leave the %YAML line out")
            self.document.tree = self.value("", next(self.events), 0)

    def value(self, path: str, event: Event, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise _Unreadable(_line(event), f"is nested more than {_MAX_DEPTH} levels deep")
        self.document.lines.setdefault(path, _line(event))
        assert isinstance(event, NodeEvent)
        if isinstance(event, AliasEvent):
            return self.refuse(path, event, f"write the value again: references (*{event.anchor}) are not followed")
        if event.anchor is not None:
            self.refuse(path, event, f"leave the anchor &{event.anchor} out: references to it are not followed")
        if (tag := _tag(event)) is not None:
            self.refuse(path, event, f"leave the tag {tag!r} out: it would have no effect")
        if isinstance(event, MappingStartEvent):
            return self.mapping(path, depth)
        if isinstance(event, SequenceStartEvent):
            return self.sequence(path, depth)
        assert isinstance(event, ScalarEvent)
        return self.scalar(path, event)

    def mapping(self, path: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            key = self.key(path, event)
            inside = _join(path, str(key))
            first = lines.setdefault(key, _line(event))
            self.document.lines.setdefault(inside, _line(event))
            value = self.value(inside, next(self.events), depth + 1)
            if key in found:
                self.refuse(inside, event, f"stands twice, first on line {first}; keep one of them")
            found.setdefault(key, value)
        return found

    def key(self, path: str, event: Event) -> str:
        if not isinstance(event, ScalarEvent) or event.anchor or event.tag or _is_merge(event):
            raise _Unreadable(_line(event), "a key here is not a word; put text that holds { or [ or * in quotes")
        text: str = event.value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        value = self.scalar(_join(path, text), event)
        if value is not REFUSED and not isinstance(value, str):
            self.refuse(_join(path, text), event, f"keys are text: write '{text}' in quotes")
        return text

    def sequence(self, path: str, depth: int) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            found.append(self.value(_join(path, str(len(found))), event, depth + 1))
        return found

    def scalar(self, path: str, event: ScalarEvent) -> Any:
        if not event.implicit[0]:
            text = _join_surrogates(event.value)
            return self.refuse(path, event, "holds half of a character (a lone surrogate)") if text is None else text
        try:
            return _plain_value(event.value)
        except ValueError:
            return self.refuse(path, event, "is a number of too many digits")

    def refuse(self, path: str, event: Event, what: str) -> Any:
        self.document.faults.append(Fault(path, _line(event), what))
        return REFUSED


_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def _plain_value(text: str) -> Any:
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _events(text: str) -> Iterator[Event]:
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _Unreadable(mark.line + 1 if mark else None, _in_plain_words(error)) from error
    except YAMLError as error:
        _refuse_character(text, error)


def _refuse_character(text: str, error: YAMLError) -> NoReturn:
    position = getattr(error, "position", 0)
    character = getattr(error, "character", 0)
    code = character if isinstance(character, int) else ord(character)
    line = text.count("\n", 0, position) + 1
    raise _Unreadable(line, f"holds a character that may not stand in a text file (U+{code:04X}); delete it") from error


_WORDS = {
    "found character '\\t'": "indent with spaces, not with tabs",
    "mapping values are not allowed": "a colon too many or a line indented too far; text with ': ' goes in quotes",
    "that cannot start any token": "text that starts with @, ` or % goes in quotes",
    "found unknown escape character": "a backslash in double quotes starts an escape; use single quotes",
    "expected <block end>": "this line does not line up with the ones before it; check the indentation",
    "found unexpected end of stream": "a quote is opened and never closed",
    "while parsing a flow sequence": "a [ is opened and never closed, or a comma is missing",
    "while parsing a flow mapping": "a { is opened and never closed, or a comma is missing",
    "could not find expected ':'": "a key without its colon; write `key: value`",
}
"""What a parser's message is about -> what to do."""


def _in_plain_words(error: MarkedYAMLError) -> str:
    said = f"{error.context or ''} {error.problem or ''}".strip()
    advice = next((words for key, words in _WORDS.items() if key in said), None)
    return f"this is not YAML: {advice or said}"


def _check_json(text: str) -> None:
    def refuse(constant: str) -> NoReturn:
        raise _Unreadable(None, f"{constant} is not JSON; write a number")

    try:
        json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise _Unreadable(error.lineno, f"this is not JSON: {error.msg[0].lower()}{error.msg[1:]}") from error
    except RecursionError as error:
        raise _Unreadable(None, f"is nested more than {_MAX_DEPTH} levels deep") from error
    except ValueError as error:
        raise _Unreadable(None, "holds a number of too many digits") from error


def _join_surrogates(text: str) -> str | None:
    """JSON writes one character above U+FFFF as two escapes; joins them, or None where one is alone."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None


def _is_merge(event: ScalarEvent) -> bool:
    return event.value == "<<" and bool(event.implicit[0])


def _line(event: Event) -> int:
    line: int = event.start_mark.line + 1
    return line


def _tag(event: Any) -> str | None:
    return None if event.tag is None else str(event.tag).replace("tag:yaml.org,2002:", "!!")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
