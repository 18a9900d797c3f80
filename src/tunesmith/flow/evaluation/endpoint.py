"""Questions put to an endpoint: its answers, answers drawn beside them, and what single calls take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunesmith.metrics import Draws
from tunesmith.metrics._measured import ANSWER_TOKENS, PROMPT_TOKENS
from tunesmith.models.roles.remote import RemoteResponder
from tunesmith.records import Message, Prediction, Record, Responder

AT_ONCE = 64
"""Rows an endpoint is asked for between two signs of progress."""
Done = Callable[[int], None]


@dataclass(frozen=True)
class Put:
    """Questions, and how they are put."""

    conversations: Sequence[Sequence[Message]]
    longest: int
    """Tokens of an answer, at most."""
    temperature: float
    seed: int

    def to(self, responder: Responder, after: Done) -> list[str]:
        """One answer for each, in order."""
        return self._asked(responder, self.temperature, self.seed, after)

    def drawn(self, responder: Responder, draws: Draws, after: Done) -> list[tuple[str, ...]]:
        """Answers drawn for each. Every round has a seed of its own: an endpoint that keeps to seeds would else say the
        same each time."""
        rounds: list[list[str]] = []

        def told(done: int) -> None:
            after(len(rounds) * len(self.conversations) + done)

        for number in range(1, draws.count + 1):
            rounds += [self._asked(responder, draws.temperature, self.seed + number, told)]
        return list(zip(*rounds, strict=True))

    def _asked(self, responder: Responder, temperature: float, seed: int, after: Done) -> list[str]:
        said: list[str] = []
        for start in range(0, len(self.conversations), AT_ONCE):
            some = self.conversations[start : start + AT_ONCE]
            said += responder.respond(some, max_tokens=self.longest, temperature=temperature, seed=seed)
            after(len(said))
        return said


def counted(responder: RemoteResponder, put: Put, rows: Sequence[Record]) -> list[Prediction]:
    """Answers with the tokens that the endpoint says it read and wrote, where it says so."""
    said = responder.answers(
        [row.prompt for row in rows], max_tokens=put.longest, temperature=put.temperature, seed=put.seed
    )
    told = [{PROMPT_TOKENS: answer.read, ANSWER_TOKENS: answer.written} for answer in said]
    return [
        Prediction(row, answer.text, row.answer, measured={name: float(n) for name, n in of.items() if n is not None})
        for row, answer, of in zip(rows, said, told, strict=True)
    ]
