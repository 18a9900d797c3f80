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
    "label": (
        "label text", "label name", "class name", "label", "intent", "category", "class", "sentiment", "target",
        "topic", "emotion", "y", "polarity", "verdict", "stars", "star rating", "rating",
    ),
    "text": (
        "text", "sentence", "utterance", "content", "body", "message", "review", "comment", "tweet", "query",
        "document", "passage", "article", "story", "code", "markdown", "review text", "review body", "comment text",
        "tweet text", "message text",
    ),
    "system": ("system", "system prompt"),
    "context": ("context", "passage", "evidence", "paragraph"),
    "input": ("input",),
    "id": ("id", "uid", "uuid", "row id", "idx", "guid"),
}  # fmt: skip

PROMPTS_AND_ANSWERS: tuple[tuple[tuple[str, ...], tuple[str, ...], str, str], ...] = (
    (("instruction",), ("output", "response", "answer"), "instruction data", ""),
    (("prompt",), ("response", "completion", "answer", "output", "target"), "prompts and responses", ""),
    (("question", "problem", "query"), ("answer", "answers", "solution", "response"), "questions and answers",
     "answer"),
    (("document", "article", "dialogue", "dialog", "transcript", "text", "meeting", "report"),
     ("summary", "summaries", "highlights", "abstract", "tldr"), "documents and summaries", "summarize"),
    (("source", "src", "source text"), ("target", "tgt", "target text", "translation"), "source and target texts",
     "translate"),
    (("text", "description", "docstring"), ("code", "solution", "program"), "descriptions and code", "code"),
    (("input", "user", "human"), ("output", "assistant", "bot"), "inputs and outputs", ""),
)  # fmt: skip
"""Pairs of columns that make a conversation of one turn, what such data is called, and the task it is for."""

LANGUAGES = {
    "en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian", "pt": "portuguese",
    "nl": "dutch", "pl": "polish", "ru": "russian", "uk": "ukrainian", "cs": "czech", "sk": "slovak",
    "ro": "romanian", "hu": "hungarian", "bg": "bulgarian", "el": "greek", "tr": "turkish", "sv": "swedish",
    "da": "danish", "no": "norwegian", "nb": "norwegian", "fi": "finnish", "et": "estonian", "lv": "latvian",
    "lt": "lithuanian", "sl": "slovenian", "hr": "croatian", "sr": "serbian", "ar": "arabic", "he": "hebrew",
    "fa": "persian", "hi": "hindi", "bn": "bengali", "ta": "tamil", "ur": "urdu", "zh": "chinese",
    "ja": "japanese", "ko": "korean", "vi": "vietnamese", "th": "thai", "id": "indonesian", "sw": "swahili",
}  # fmt: skip
"""ISO 639-1 code -> name, as columns of translations are called."""


def plain(name: str) -> str:
    """A column's name as it is compared: small letters, words parted by one space."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(r"[\W_]+", " ", spaced).strip().lower()


def first_of(names: Iterable[str], columns: Iterable[str]) -> str | None:
    """The first of `names` that is a column, as the column is written."""
    written = {plain(column): column for column in reversed(list(columns))}
    return next((written[name] for name in names if name in written), None)


def language_of(column: str) -> str | None:
    """The language a column is named after: `de`, `German`, `text_de`, `translation.de`."""
    for word in reversed(plain(column).split()):
        if word in LANGUAGES:
            return word
        code = next((code for code, name in LANGUAGES.items() if name == word), None)
        if code is not None:
            return code
    return None
