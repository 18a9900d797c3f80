"""Reads an answer that names stretches of a text as JSON: the inverse of what the `extract` template teaches."""

from __future__ import annotations

import json
from typing import Any

from tunesmith.records import Span


def read_spans(text: str, answer: str) -> tuple[Span, ...]:
    """The stretches that `answer`, `{"name": "words" or ["words", ...]}`, names in `text`, from left to right.

    Words that do not stand in the text, and answers that are no JSON object, name nothing.
    """
    spans: list[Span] = []
    for name, words in _said(answer).items():
        if name == "label":
            continue
        for word in words if isinstance(words, list) else [words]:
            span = _find(text, word, name, spans)
            if span is not None:
                spans.append(span)
    return tuple(sorted(spans, key=lambda span: span.start))


def _said(answer: str) -> dict[str, Any]:
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _find(text: str, word: Any, name: str, taken: list[Span]) -> Span | None:
    """The first place of `word` that no earlier stretch has taken."""
    if not isinstance(word, str) or not word:
        return None
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        if all(end <= span.start or start >= span.end for span in taken):
            return Span(start, end, name)
        start = text.find(word, start + 1)
    return None
