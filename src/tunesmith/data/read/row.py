"""Rows to records: one function for each shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tunesmith.data.read.recognised import Recognised
from tunesmith.data.read.values import BadRow, as_label, as_text, inside, is_missing, listed
from tunesmith.data.read.votes import role_of, votes_of
from tunesmith.data.readers import Row
from tunesmith.records import Message, Record, Role, Span

MISSING_SLICE = "(missing)"
"""The value of a slice in rows that do not say."""

Note = Callable[[str], None]

_ROLE_NAMES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant", "model": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool",
}  # fmt: skip
_HH_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")


def to_record(
    row: Row,
    recognised: Recognised,
    slices: Collection[str] = (),
    weight: float = 1.0,
    note: Note = lambda reason: None,
    origin: int = 0,
) -> Record:
    """Turns a row into a record.

    Args:
        row: as it was read.
        recognised: which column plays which role.
        slices: columns to keep as named values.
        weight: how much the row counts in the loss.
        note: called with a short reason for everything odd that was put right.
        origin: the number of its source.

    Raises:
        BadRow: the row lacks what its shape needs.
    """
    for reason in row.notes:
        note(reason)
    found = row.values
    values = {
        role: found[column] if column in found else inside(found, column) for role, column in recognised.columns.items()
    }
    fields = _SHAPES[recognised.shape](values, note)
    kept = {name: _slice(found[name]) for name in slices if name in found}
    own = values.get("id")
    record = Record(
        id=row.where if own is None or is_missing(own) or not str(own).strip() else as_text(own, "id"),
        source=row.where,
        slices=kept,
        weight=weight,
        origin=origin,
        **fields,
    )
    _refuse_halves(record)
    return record


def _slice(value: Any) -> str:
    if is_missing(value) or value == "":
        return MISSING_SLICE
    if isinstance(value, str) and value[0] != "[":
        return value
    items = listed(value)
    return ", ".join(map(str, items)) if items is not None else str(value)


def _refuse_halves(record: Record) -> None:
    # A lone surrogate is no character: it can be neither tokenised nor written as UTF-8.
    said = "".join((record.id, record.text or "", *record.labels, *record.references, *record.slices.values()))
    if record.messages or record.chosen:
        turns = (*record.messages, *record.chosen, *record.rejected)
        said += "".join([turn.content for turn in turns])
    if not said.isascii():
        try:
            said.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BadRow("half a character (a lone surrogate)") from error


# Shapes -----------------------------------------------------------------------------------------


def _text(values: Mapping[str, Any], note: Note) -> dict[str, Any]:
    return {"text": as_text(values["text"], "text")}


def _label(values: Mapping[str, Any], note: Note) -> dict[str, Any]:
    if any(role_of(role) == "votes" for role in values):
        return _voted(values)
    found = values["labels"] if "labels" in values else values["label"]
    items = listed(found)
    if items is None:
        return {"text": as_text(values["text"], "text"), "labels": (as_label(found),)}
    labels = [as_label(item) for item in items]
    if not labels:
        raise BadRow("label is missing")
    if len(set(labels)) < len(labels):
        note("a label stood twice in one row")
    return {"text": as_text(values["text"], "text"), "labels": tuple(dict.fromkeys(labels))}


def _voted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Votes of annotators, and perhaps the right label beside them."""
    label = values.get("label")
    return {
        "text": as_text(values["text"], "text"),
        "labels": () if is_missing(label) or label == "" else (as_label(label),),
        "votes": votes_of(values),
    }


def _spans(values: Mapping[str, Any], note: Note) -> dict[str, Any]:
    if "tokens" in values:
        text, spans = _tagged(values["tokens"], values["tags"], note)
    else:
        text = as_text(values["text"], "text")
        spans = _stretches(text, values["spans"])
    label = values.get("label")
    return {
        "text": text,
        "spans": tuple(sorted(spans, key=lambda span: (span.start, span.end, span.label))),
        "labels": () if is_missing(label) else (as_label(label),),
    }


def _stretches(text: str, found: Any) -> list[Span]:
    items = [] if is_missing(found) else listed(found)
    if items is None:
        raise BadRow("spans are not a list")
    return [_stretch(text, item) for item in items]


def _stretch(text: str, item: Any) -> Span:
    said = None
    if isinstance(item, Mapping):
        start, end, said = item.get("start"), item.get("end"), item.get("text")
        label = next((item[key] for key in ("label", "type", "entity", "entity_group") if key in item), None)
    elif isinstance(item, (list, tuple)) and len(item) == 3:
        start, end, label = item
    else:
        raise BadRow("a span is not {start, end, label}")
    if not isinstance(start, int) or not isinstance(end, int):
        raise BadRow("a span without start and end")
    if not 0 <= start < end <= len(text):
        raise BadRow("a span outside its text")
    if said is not None and said != text[start:end]:
        raise BadRow("a span does not hold the text it says")
    return Span(start, end, as_label(label))


def _tagged(tokens: Any, tags: Any, note: Note) -> tuple[str, list[Span]]:
    """Words joined by one space, and the stretches their IOB2, IOB1, IOBES or BILOU tags name."""
    words, marks = listed(tokens), listed(tags)
    if words is None or marks is None:
        raise BadRow("tokens or tags are not a list")
    if len(words) != len(marks):
        raise BadRow("tokens and tags differ in number")
    spans: list[Span] = []
    at, open_label, open_from = 0, "", 0
    texts = [as_text(word, "token") for word in words]
    for word, mark in zip(texts, [as_text(mark, "tag") for mark in marks], strict=True):
        prefix, label = _mark(mark, note)
        if label != open_label or prefix == "B":
            if prefix == "I":
                note("a tag I- began a span (IOB1)")
            if open_label:
                spans.append(Span(open_from, at - 1, open_label))
            open_label, open_from = label, at
        at += len(word) + 1
    if open_label:
        spans.append(Span(open_from, at - 1, open_label))
    if any(not word.strip() for word in texts):
        raise BadRow("an empty token")
    return " ".join(texts), spans


def _mark(mark: str, note: Note) -> tuple[str, str]:
    """A tag as B or I and its label; the label is empty outside."""
    if mark in ("O", "", "_"):
        return "O", ""
    prefix, dash, label = mark.partition("-")
    if not dash or prefix not in ("B", "I", "E", "S", "L", "U") or not label:
        note("a tag without B- or I-")
        return "", mark
    return {"S": "B", "U": "B", "E": "I", "L": "I"}.get(prefix, prefix), label


def _chat(values: Mapping[str, Any], note: Note) -> dict[str, Any]:
    if "messages" in values:
        return {"messages": (*_system(values), *_conversation(values["messages"]))}
    prompt = _prompt(values)
    answer, *others = _answers(values["answer"])
    return {
        "messages": (*_system(values), Message("user", prompt), Message("assistant", answer, trained=True)),
        "references": tuple(dict.fromkeys(other for other in others if other != answer)),
    }


def _prompt(values: Mapping[str, Any]) -> str:
    parts = [as_text(values["prompt"], "prompt")]
    further = values.get("input")
    if not is_missing(further) and as_text(further, "input").strip():
        parts.append(as_text(further, "input"))
    context = values.get("context")
    if not is_missing(context) and as_text(context, "context").strip():
        parts.insert(0, as_text(context, "context"))
    return "\n\n".join(parts)


def _answers(found: Any) -> list[str]:
    """The right answers: a text, a list of texts, or SQuAD's `{text: [...], answer_start: [...]}`."""
    if isinstance(found, Mapping) and "text" in found:
        found = found["text"]
    items = listed(found) if not isinstance(found, str) else None
    answers = [as_text(item, "answer") for item in (items if items is not None else [found])]
    if not answers:
        raise BadRow("answer is missing")
    return answers


def _system(values: Mapping[str, Any]) -> tuple[Message, ...]:
    system = values.get("system")
    if is_missing(system) or not as_text(system, "system").strip():
        return ()
    return (Message("system", as_text(system, "system")),)


def _conversation(found: Any) -> tuple[Message, ...]:
    """Messages in OpenAI's `{role, content}` or ShareGPT's `{from, value}`; every assistant turn is trained."""
    items = listed(found)
    if not items:
        raise BadRow("a conversation without messages")
    messages = tuple(_message(item) for item in items)
    if not any(message.role == "assistant" for message in messages):
        raise BadRow("a conversation without an answer")
    return messages


def _message(item: Any) -> Message:
    if not isinstance(item, Mapping):
        raise BadRow("a message is not {role, content}")
    name = str(item.get("role", item.get("from"))).strip().lower()
    if name not in _ROLE_NAMES:
        raise BadRow("a message of an unknown role")
    content = item.get("content", item.get("value"))
    parts = listed(content) if not isinstance(content, str) else None
    if parts is not None:
        content = "".join(_part(part) for part in parts)
    role = _ROLE_NAMES[name]
    silenced = item.get("weight") == 0 or item.get("train") is False
    return Message(role, as_text(content, "content"), trained=role == "assistant" and not silenced)


def _part(part: Any) -> str:
    if isinstance(part, Mapping) and part.get("type") == "text":
        return as_text(part.get("text"), "content")
    raise BadRow("a message with something other than text")


def _pair(values: Mapping[str, Any], note: Note) -> dict[str, Any]:
    chosen, rejected = _dialogue(values["chosen"]), _dialogue(values["rejected"])
    prompt = values.get("prompt")
    # With a prompt column the two sides may repeat it or hold the answers alone.
    asked = () if is_missing(prompt) else _dialogue(prompt, speaker="user")
    if asked and asked[-1].role == "assistant" and not asked[-1].content:  # `...\n\nAssistant:` waits for the answer
        asked = asked[:-1]
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    before = chosen[:shared]
    if before[: len(asked)] != asked:
        before = (*asked, *before)
    chosen, rejected = chosen[shared:], rejected[shared:]
    if not chosen or not rejected:
        raise BadRow("chosen and rejected are the same, or one is only the beginning of the other")
    if not before:
        raise BadRow("a preference without a prompt")
    trained = tuple(
        tuple(Message(turn.role, turn.content, trained=turn.role == "assistant") for turn in side)
        for side in (chosen, rejected)
    )
    return {"messages": (*_system(values), *before), "chosen": trained[0], "rejected": trained[1]}


def _dialogue(found: Any, speaker: Role = "assistant") -> tuple[Message, ...]:
    """Turns, untrained: a list of messages, a text in the form `Human: ... Assistant: ...`, or one plain turn."""
    items = listed(found) if not isinstance(found, str) else None
    if items is not None:
        return tuple(Message(turn.role, turn.content) for turn in map(_message, items))
    text = as_text(found, "answer")
    parts = _HH_TURN.split(text)
    if len(parts) < 3 or parts[0].strip():
        return (Message(speaker, text),)
    return tuple(
        Message("user" if name == "Human" else "assistant", content.strip())
        for name, content in zip(parts[1::2], parts[2::2], strict=True)
    )


_SHAPES: dict[str, Callable[[Mapping[str, Any], Note], dict[str, Any]]] = {
    "text": _text,
    "label": _label,
    "spans": _spans,
    "chat": _chat,
    "pair": _pair,
}
