"""Arms: ways of answering the same rows, one file each, and the file is the arm's name.

The tuned model is one of them. Every other is what a team could do instead: leave the base as it is, ask it better,
buy answers, or count words. An arm says whom to ask and how; the `Bench` it is handed does the asking.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pydantic import Field

from tunesmith.metrics import Metric
from tunesmith.part import Part
from tunesmith.records import Prediction, Record

OWN = frozenset({"base", "tuned"})
"""Models that every run has."""

Shots = Callable[[Record], Sequence[Record]]
"""The rows shown, asked and answered, before a row; the one that matters most last."""


@dataclass(frozen=True)
class Asking:
    """How rows are put to a model, where it is not as the spec's `prompt` says."""

    template: str | None = None
    """A library template or text with places; the spec's when left out."""
    system: str | None = None
    """The system message; the spec's when left out, none where it is empty."""
    shots: Shots | None = None
    """Examples shown; the spec's `prompt.examples` when left out."""
    ending: str = ""
    """Put after the question."""
    read: Callable[[str], str] | None = None
    """Finds the answer in what was said. Labels are then answered in words, and not chosen by their likelihood."""
    temperature: float = 0.0
    """0 takes the likeliest token each time."""
    max_new_tokens: int | None = None
    """The longest answer; `evaluate.max_new_tokens` when left out."""


class Bench(Protocol):
    """What arms are handed: the rows, and models that can be asked."""

    @property
    def task(self) -> str | None: ...
    @property
    def train(self) -> Sequence[Record]: ...
    @property
    def validation(self) -> Sequence[Record]: ...
    @property
    def rows(self) -> Sequence[Record]:
        """The test rows."""
        ...

    @property
    def metrics(self) -> Sequence[Metric]:
        """What will be measured; the first one that can chooses between variants."""
        ...

    @property
    def template(self) -> str | None:
        """The spec's prompt template."""
        ...

    @property
    def system(self) -> str:
        """The spec's system message; empty where there is none."""
        ...

    @property
    def seed(self) -> int: ...
    @property
    def alone(self) -> int:
        """Rows that are asked one at a time, to be timed."""
        ...

    def ask(self, model: str, rows: Sequence[Record], asking: Asking | None = None) -> list[Prediction]:
        """What a model answers.

        Args:
            model: `tuned`, `base`, or a reference: a folder, a hub id, `run:NAME/N`, `https://host/v1#model`.
            rows: as the data hold them.
            asking: how they are put; as the spec's `prompt` says when left out.

        Raises:
            Interrupted: somebody asked to stop.
            UserError: the model cannot be asked so.
        """
        ...

    def writes(self, model: str) -> bool:
        """Whether a model writes its answers where it is asked as the spec says, and does not choose a label."""
        ...

    def progress(self, done: int, total: int) -> None:
        """Tells how far an arm is that does its own work, and stops it where somebody asked to."""
        ...

    def note(self, **facts: Any) -> None:
        """Keeps what the arm found out, for `evaluation/arms.json` and the report."""
        ...


class Arm(Part):
    """A way of answering the test rows."""

    of_labels: ClassVar[bool] = False
    """Whether all it can give is a label."""
    asks_anew: ClassVar[bool] = False
    """Whether it puts questions in another way than the tuned model learned them, so that there must be questions."""

    @property
    def asks(self) -> str:
        """The model that it asks: `base`, `tuned`, a reference; empty where it asks none."""
        return ""

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.kind

    @abstractmethod
    def answer(self, bench: Bench) -> list[Prediction]:
        """One prediction for each of `bench.rows`, in their order."""


class Named(Arm):
    """An arm that may stand in a spec more than once, under other names."""

    called: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")
    """What tables call it, where there are several of its kind: letters, digits, dots, dashes and underscores."""

    @property
    def title(self) -> str:
        return self.called or self.kind


class Wordy(Named):
    """An arm that asks a model in words of its own choice."""

    asks_anew: ClassVar[bool] = True
    model: str = "base"
    """Who is asked: `base`, `tuned`, a folder, a hub id, `run:NAME/N` or `https://host/v1#model`."""

    @property
    def asks(self) -> str:
        return self.model
