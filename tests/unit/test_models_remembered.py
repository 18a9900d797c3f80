"""Answers are kept: nothing is asked twice, whatever was broken off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tunesmith.models.roles.remembered import Remembered
from tunesmith.records import Message


class Counting:
    """Says what it was asked, in capitals, and remembers who asked."""

    def __init__(self, last: int = 10**9) -> None:
        self.asked: list[str] = []
        self._last = last

    def respond(
        self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        if len(self.asked) >= self._last:
            raise KeyboardInterrupt
        self.asked += [turns[-1].content for turns in conversations]
        return [f"{turns[-1].content} {max_tokens} {temperature} {seed}".upper() for turns in conversations]


def questions(*texts: str) -> list[list[Message]]:
    return [[Message("user", text)] for text in texts]


def test_what_was_asked_is_not_asked_again(tmp_path: Path) -> None:
    file, other = tmp_path / "answers" / "a.jsonl", Counting()
    first = Remembered(other, file)
    assert first.respond(questions("a", "b"), max_tokens=5) == ["A 5 0.0 0", "B 5 0.0 0"]
    again = Remembered(other, file)
    assert again.respond(questions("b", "c", "a"), max_tokens=5) == ["B 5 0.0 0", "C 5 0.0 0", "A 5 0.0 0"]
    assert other.asked == ["a", "b", "c"]
    again.respond(questions("a"), max_tokens=6)
    again.respond(questions("a"), max_tokens=5, temperature=0.5)
    again.respond(questions("a"), max_tokens=5, temperature=0.5, seed=1)
    again.respond(questions("a"), max_tokens=5, seed=1)
    assert other.asked == ["a", "b", "c", "a", "a", "a"], "the likeliest answer has no seed"


def test_an_interruption_keeps_what_was_said_before(tmp_path: Path) -> None:
    texts = [f"question {number}" for number in range(100)]
    file, broken = tmp_path / "a.jsonl", Counting(last=64)
    with pytest.raises(KeyboardInterrupt):
        Remembered(broken, file).respond(questions(*texts), max_tokens=5)
    with file.open("a") as lines:
        lines.write('["half a li')
    rest = Counting()
    said = Remembered(rest, file).respond(questions(*texts), max_tokens=5)
    assert rest.asked == texts[64:]
    assert said == Counting().respond(questions(*texts), max_tokens=5)
