"""What columns are called in the wild: for every role, the names it is known by, the most telling first."""

from __future__ import annotations

import re
from collections.abc import Iterable

ROLES = (
    "text", "label", "labels", "prompt", "answer", "system", "context", "input", "spans", "tokens", "tags",
    "messages", "chosen", "rejected", "votes", "id",
)  # fmt: skip
"""What a column can be in a written `map`."""

KNOWN: dict[str, tuple[str, ...]] = {
    "messages": ("messages", "conversations", "conversation", "dialog", "turns"),
    "chosen": ("chosen", "preferred"),
    "rejected": ("rejected", "dispreferred"),
    "tokens": ("tokens", "words"),
    "tags": ("tags", "ner tags", "iob tags", "bio tags", "tag labels"),
    "spans": ("spans", "entities"),
    "labels": ("labels", "classes", "categories", "intents", "topics", "emotions"),
    "label": ("label", "intent", "category", "class", "sentiment", "target", "topic", "emotion", "y"),
    "text": (
        "text", "sentence", "utterance", "content", "body", "message", "review", "comment", "tweet", "query",
        "document", "passage", "article", "story", "code", "markdown",
    ),
    "system": ("system", "system prompt"),
    "context": ("context", "passage", "evidence", "paragraph"),
    "input": ("input",),
    "id": ("id", "uid", "uuid", "row id", "idx", "guid"),
}  # fmt: skip

PROMPTS_AND_ANSWERS: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (("instruction",), ("output", "response", "answer"), "instruction data"),
    (("prompt",), ("response", "completion", "answer", "output", "target"), "prompts and responses"),
    (("question", "problem", "query"), ("answer", "answers", "solution", "response"), "questions and answers"),
    (("document", "article", "dialogue", "dialog", "text", "meeting", "report"),
     ("summary", "summaries", "highlights", "abstract"), "documents and summaries"),
    (("source", "src"), ("target", "tgt", "translation"), "source and target texts"),
    (("text", "description", "docstring"), ("code", "solution", "program"), "descriptions and code"),
    (("input", "user", "human"), ("output", "assistant", "bot"), "inputs and outputs"),
)  # fmt: skip
"""Pairs of columns that make a conversation of one turn, and what such data is called."""


def plain(name: str) -> str:
    """A column's name as it is compared: small letters, words parted by one space."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(r"[\W_]+", " ", spaced).strip().lower()


def first_of(names: Iterable[str], columns: Iterable[str]) -> str | None:
    """The first of `names` that is a column, as the column is written."""
    written = {plain(column): column for column in reversed(list(columns))}
    return next((written[name] for name in names if name in written), None)
