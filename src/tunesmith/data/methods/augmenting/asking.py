"""What a model is asked for new texts, and what of its answers is taken.

An answer that is empty, breaks off the form that was asked for, is of a quite different length, declines, or loses a
number is no new row; each such reason is a short constant phrase.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from tunesmith.data.methods.augmenting.words import words_of
from tunesmith.records import Message

EMPTY = "the answer is empty"
DECLINED = "the model declined"
LENGTH = "the answer is much longer or shorter"
NUMBERS = "a number was lost or invented"
MALFORMED = "the answer is no list of texts"

_PREFACE = re.compile(
    r"\s*(?:(?:sure|certainly|of course)[!,.]?\s*)?(?:here(?:'s| is| are)\b[^\n:]{0,80}:|"
    r"(?:paraphrase|rewritten(?: message)?|translation|message|text)\s*:)\s*",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\s*```\w*\n(.*?)\n?```\s*", re.DOTALL)
_QUOTES = {'"': '"', "“": "”", "'": "'", "„": "“", "«": "»"}
_DECLINED = re.compile(
    r"(?:i'?m sorry|i am sorry|sorry,|as an ai|i can(?:no|')t (?:help|assist|do|fulfil))", re.IGNORECASE
)
_ITEM = re.compile(r"\s*(?:\d{1,3}[.)]|[-*•])\s+(.+)")
_NUMBER = re.compile(r"\d+")
_SHORTEST, _LONGEST = 1 / 3, 3.0


def paraphrase_prompt(text: str, labels: Sequence[str]) -> tuple[Message, ...]:
    """Asks for the same in other words."""
    kept = f" It belongs to: {', '.join(labels)}. It must still do so afterwards." if labels else ""
    return _ask(
        "Say the message below in other words. Keep its meaning, its tone, its language, and every name and number."
        f"{kept} Answer with the new message only.\n\nMessage:\n{text}"
    )


def translation_prompt(text: str, language: str) -> tuple[Message, ...]:
    """Asks for a translation."""
    return _ask(
        f"Translate the message below into {language}. Keep its meaning and tone, and every name and number. Answer "
        f"with the translation only.\n\nMessage:\n{text}"
    )


def synthesis_prompt(examples: Sequence[str], labels: Sequence[str], count: int) -> tuple[Message, ...]:
    """Asks for new texts like some examples of a label."""
    listed = "\n".join(f"{number}. {json.dumps(text, ensure_ascii=False)}" for number, text in enumerate(examples, 1))
    return _ask(
        f"These messages belong to: {', '.join(labels)}.\n\n{listed}\n\nWrite {count} new messages that belong to it "
        "too, in the same language, about other matters and as other people would write them; do not copy the "
        f"examples. Answer with a JSON list of {count} strings only."
    )


def _ask(said: str) -> tuple[Message, ...]:
    return (Message("user", said),)


def cleaned(answer: str) -> str:
    """The text itself, without the words, quotes and fences that models put around it."""
    text = answer.strip()
    if fenced := _FENCE.fullmatch(text):
        text = fenced.group(1).strip()
    text = _PREFACE.sub("", text, count=1).strip() if _PREFACE.match(text) else text
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def why_not_said(answer: str, original: str, *, numbers: bool = True) -> str:
    """Why an answer cannot stand in for the original; empty when it can.

    Args:
        numbers: whether it must hold the same numbers.
    """
    if not answer.strip():
        return EMPTY
    if _DECLINED.match(answer) and not _DECLINED.match(original.strip()):
        return DECLINED
    ratio = len(words_of(answer)) / max(1, len(words_of(original)))
    if not _SHORTEST <= ratio <= _LONGEST and abs(len(words_of(answer)) - len(words_of(original))) > 5:
        return LENGTH
    if numbers and sorted(_NUMBER.findall(answer)) != sorted(_NUMBER.findall(original)):
        return NUMBERS
    return ""


def listed_texts(answer: str) -> list[str] | None:
    """The texts of an answer that should be a JSON list, or at least a numbered one; None where it is neither."""
    start, end = answer.find("["), answer.rfind("]")
    if 0 <= start < end:
        try:
            found = json.loads(answer[start : end + 1])
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list) and found and all(isinstance(text, str) for text in found):
            return [text.strip() for text in found]
    items = [match.group(1) for line in answer.splitlines() if (match := _ITEM.fullmatch(line))]
    return [cleaned(item) for item in items] or None
