"""Judges: one file each, and the file is the judge's name. A judge is a model that rates what another model said.

A judge is handed a `Responder` and never opens a model itself. What it says is read strictly: an answer that does not
keep to the form is asked for once more, then counted as unread, and never guessed. Values run from 0, the worst, to
1, the best, so that every judge's figures can be averaged and held against a target.

Whatever is judged was written by a model or a stranger and may try to talk to the judge. `tunesmith.judges._fence`
says what is done about it, and what is not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field, field_validator

from tunesmith.part import Part
from tunesmith.records import Message, Responder


@dataclass(frozen=True, slots=True)
class Case:
    """One answer to be judged."""

    asked: str
    """What was asked, source texts included."""
    answer: str
    other: str = ""
    """The answer it is held against, for judges that compare."""
    reference: str = ""
    """A right answer."""


@dataclass(frozen=True)
class Ratings:
    """What a judge said of some cases. N cases."""

    values: dict[str, list[float | None]]
    """Criterion -> [N] from 0 to 1; None where the judge could not be read."""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Criterion -> what was counted on the way: `asked_again`, `unread`, and what else the judge keeps."""


class Judge(Part):
    """A model that rates answers by criteria in words."""

    compares: ClassVar[bool] = False
    """Whether it holds an answer against another one."""

    model: str = Field(examples=["https://localhost:8000/v1#judge"], min_length=1)
    """Who judges: a run, a folder, `bundled`, or an endpoint `https://host/v1#model`."""
    criteria: dict[str, str] = Field(
        default={"helpful": "The answer does what was asked, completely and correctly."}, min_length=1
    )
    """What is judged: a name for each criterion, and what it asks in words, so that more of it is better."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")
    """What figures call it; its kind when left out. Two judges of a spec need two names."""
    human: str | None = None
    """A JSONL file of answers that people rated; the judge rates them too, and is trusted as far as it agrees."""
    least_agreement: float = Field(default=0.5, ge=0, lt=1)
    """A target rests on it only if its agreement with people is at least this, with the confidence of the spec."""
    source: bool = True
    """Whether the judge sees what was asked."""
    reference: bool = False
    """Whether the judge sees the row's right answer."""
    longest: int = Field(default=8000, ge=100)
    """Characters of each text that are shown; of longer ones the middle is left out."""
    max_tokens: int = Field(default=400, ge=8)
    """The longest answer of the judge, its reasons included."""

    @field_validator("criteria")
    @classmethod
    def _plain_names(cls, criteria: dict[str, str]) -> dict[str, str]:
        for name, says in criteria.items():
            if not name.replace("_", "").replace("-", "").isalnum() or not says.strip():
                raise ValueError(
                    f"criterion {name!r}: give it a name of letters, digits and dashes, and words to go by"
                )
        return criteria

    @field_validator("model")
    @classmethod
    def _of_its_own(cls, model: str) -> str:
        if model in ("base", "tuned"):
            raise ValueError(f"{model!r} is judged itself; name a run, a folder, `bundled` or an endpoint")
        return model

    @property
    def asks(self) -> str:
        """The model that it asks, as a spec names it."""
        return self.model

    @property
    def called(self) -> str:
        """What figures call it."""
        return self.name or self.kind

    @abstractmethod
    def value_of(self, said: float) -> float:
        """A person's rating on the judge's own scale as a value from 0 to 1.

        Raises:
            ValueError: it is not on the scale.
        """

    @abstractmethod
    def rate(self, cases: Sequence[Case], responder: Responder) -> Ratings:
        """Judges every case by every criterion.

        Args:
            cases: what is judged.
            responder: asked with temperature 0.
        """


def ask(
    conversations: Sequence[tuple[Message, ...]],
    read: Callable[[str], float | None],
    again: str,
    responder: Responder,
    max_tokens: int,
) -> tuple[list[float | None], dict[str, int]]:
    """Asks each question, and once more where the answer keeps to no form.

    Args:
        conversations: what is asked.
        read: the value of an answer; None where it keeps to no form.
        again: what is said when an answer could not be read.
        responder: who is asked.
        max_tokens: the longest answer.

    Returns:
        A value or None for each, and how many were `asked_again` and remained `unread`.
    """
    answers = responder.respond(conversations, max_tokens=max_tokens)
    values = [read(answer) for answer in answers]
    unread = [place for place, value in enumerate(values) if value is None]
    once_more = [
        (*conversations[place], Message("assistant", answers[place].strip() or "..."), Message("user", again))
        for place in unread
    ]
    for place, answer in zip(unread, responder.respond(once_more, max_tokens=max_tokens), strict=True):
        values[place] = read(answer)
    return values, {"asked_again": len(unread), "unread": sum(value is None for value in values)}
