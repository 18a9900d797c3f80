"""Answers that are kept, so that what was asked before an interruption is not asked again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tunesmith.records import Message, Responder
from tunesmith.runs import fingerprint

AT_ONCE = 32
"""Questions asked between two times that answers are kept."""


class Remembered:
    """A responder that asks another one only what it has not asked before.

    Args:
        responder: who is asked.
        file: where answers are kept, one a line; a last line that was cut is left out.
    """

    def __init__(self, responder: Responder, file: Path) -> None:
        self._responder, self._file = responder, file
        self._answers = dict(_kept(file))

    def respond(
        self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """As the responder says, or has said."""
        keys = [_key(turns, max_tokens, temperature, seed, place) for place, turns in enumerate(conversations)]
        new = [place for place, key in enumerate(keys) if key not in self._answers]
        for start in range(0, len(new), AT_ONCE):
            some = new[start : start + AT_ONCE]
            said = self._responder.respond(
                [conversations[place] for place in some], max_tokens=max_tokens, temperature=temperature, seed=seed
            )
            self._keep({keys[place]: answer for place, answer in zip(some, said, strict=True)})
        return [self._answers[key] for key in keys]

    def _keep(self, answers: dict[str, str]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps([key, answer]) + "\n" for key, answer in answers.items())
        self._answers |= answers


def _key(turns: Sequence[Message], max_tokens: int, temperature: float, seed: int, place: int) -> str:
    asked: list[Any] = [[turn.role, turn.content] for turn in turns]
    # Drawn answers differ by their place among those asked together; the likeliest one does not.
    return fingerprint([asked, max_tokens, temperature, *((seed, place) if temperature else ())])


def _kept(file: Path) -> Iterator[tuple[str, str]]:
    if file.exists():
        for line in file.read_text("utf-8").splitlines():
            try:
                key, answer = json.loads(line)
            except ValueError:  # cut by a crash; what follows it was written later and is whole
                continue
            yield key, answer
