"""The one shape that crosses borders: a Record, and what is predicted for it.

A record is one row of a user's data after recognition. Exactly one of five shapes is filled, and
`Record.shape` names it:

    chat      messages           a conversation; some messages are trained
    pair      messages + chosen + rejected   a prompt and two answers, one preferred
    label     text + labels      one label, or several
    spans     text + spans       labelled stretches of the text (and perhaps one label of the whole)
    text      text               prose to model

Prompt templates turn `label` and `spans` records into `chat` ones where an objective generates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from pydantic import TypeAdapter

Role = Literal["system", "user", "assistant", "tool"]
Shape = Literal["chat", "pair", "label", "spans", "text"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str
    trained: bool = False
    """Whether the loss counts this turn's tokens."""


@dataclass(frozen=True, slots=True)
class Span:
    """A labelled stretch of a text: `text[start:end]`."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Record:
    """One row of data, whatever shape it came in."""

    id: str
    """The row's own id, or `file:row`; unique in a data set."""
    source: str
    """Where it was read, `file:line` (1-based; a row number where lines do not exist)."""
    messages: tuple[Message, ...] = ()
    text: str | None = None
    labels: tuple[str, ...] = ()
    """One label, or several for multi-label data."""
    spans: tuple[Span, ...] | None = None
    chosen: tuple[Message, ...] = ()
    rejected: tuple[Message, ...] = ()
    slices: Mapping[str, str] = field(default_factory=dict)
    """Named values to report by, for example `channel: email`."""
    references: tuple[str, ...] = ()
    """Further right answers beside the trained one, for evaluation only."""
    weight: float = 1.0
    origin: int = 0
    """The number of its source: those of `data.sources`, then those that stages replay."""
    votes: Mapping[str, str] = field(default_factory=dict)
    """What annotators, people or functions, called it: annotator -> label; those who said nothing are left out."""
    parent: str | None = None
    """The id of the row that a step made it from."""

    @property
    def shape(self) -> Shape:
        if self.chosen:
            return "pair"
        if self.messages:
            return "chat"
        if self.spans is not None:
            return "spans"
        return "label" if self.labels or self.votes else "text"

    @property
    def label(self) -> str | None:
        """The label of single-label records."""
        return self.labels[0] if len(self.labels) == 1 else None

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages before the last trained one: what a model is asked."""
        return self.messages[: self._answer_at] if self.messages else ()

    @property
    def answer(self) -> str:
        """The content of the last trained message: what a model should say."""
        return self.messages[self._answer_at].content if self.messages else ""

    @property
    def question(self) -> str:
        """What a model reads before it answers, in one string: the text, or the turns before the last trained one."""
        return self.text if self.text is not None else "\n".join(turn.content for turn in self.prompt)

    @property
    def _answer_at(self) -> int:
        trained = [index for index, message in enumerate(self.messages) if message.trained]
        return trained[-1] if trained else len(self.messages) - 1

    def content(self) -> str:
        """All of its words in one string, for comparing records: who said what, labels left out."""
        turns = (*self.messages, *self.chosen, *self.rejected)
        return "\n".join([*(f"{turn.role}: {turn.content}" for turn in turns), *([self.text] if self.text else [])])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; empty fields left out."""
        value: dict[str, Any] = {"id": self.id, "source": self.source}
        for name in ("messages", "chosen", "rejected"):
            if turns := getattr(self, name):
                value[name] = [{"role": t.role, "content": t.content, "trained": t.trained} for t in turns]
        if self.spans is not None:
            value["spans"] = [{"start": span.start, "end": span.end, "label": span.label} for span in self.spans]
        for name in ("text", "parent"):
            if (said := getattr(self, name)) is not None:
                value[name] = said
        for name in ("labels", "references"):
            if found := getattr(self, name):
                value[name] = list(found)
        for name in ("slices", "votes"):
            if named := getattr(self, name):
                value[name] = dict(named)
        if self.weight != 1.0:
            value["weight"] = self.weight
        if self.origin:
            value["origin"] = self.origin
        return value

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Record:
        """The inverse of `to_json`."""
        read = {**row}
        for name in ("messages", "chosen", "rejected"):
            if name in read:
                read[name] = tuple([Message(**turn) for turn in read[name]])
        if (spans := read.get("spans")) is not None:
            read["spans"] = tuple([Span(**span) for span in spans])
        for name in ("labels", "references"):
            if name in read:
                read[name] = tuple(read[name])
        return cls(**read)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model said of one record, beside what was right."""

    record: Record
    output: str
    """The generated text, or the predicted label."""
    expected: str
    """The right answer, or the right label."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Probability of each label, where the model gives them."""
    spans: tuple[Span, ...] | None = None
    """Predicted stretches, for token classification."""
    nll: float | None = None
    """Summed negative log-likelihood, in nats, of the expected tokens."""
    num_tokens: int = 0
    """How many expected tokens `nll` sums over."""
    num_chars: int = 0
    """How many characters those tokens spell."""
    seconds: float = 0.0
    """How long this prediction took, by itself (batch time shared out evenly)."""
    samples: tuple[str, ...] = ()
    """Further answers drawn for the same question, where a metric asks for several."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """What others than the model measured of this row, by name: raters, judges, a clock."""

    @property
    def references(self) -> tuple[str, ...]:
        """Every right answer."""
        return (self.expected, *self.record.references)


class Responder(Protocol):
    """Anything that answers: a local model, a remote endpoint, a test double."""

    def respond(
        self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """One answer for each conversation, in order.

        Args:
            temperature: 0 takes the likeliest token each time; above, answers are drawn.
            seed: of what is drawn; the same seed gives the same answers where the model is a local one.
        """
        ...


class Embedder(Protocol):
    """Turns texts into vectors whose products say how alike their meanings are."""

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """[N, D], each row of length one."""
        ...


class TokenEmbedder(Protocol):
    """Turns texts into a vector for each of their tokens, each in its context."""

    def embed_tokens(
        self, texts: Sequence[str], layer: int | None = None
    ) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
        """(token ids [T], vectors [T, D]) of each text; special tokens included, so that an empty text has those alone.

        Args:
            layer: whose output the vectors are, counted from 1; 0 is what the first one reads, None the last one's.
        """
        ...


class Filler(Protocol):
    """A masked language model: says which words could stand in a place."""

    def fill(self, words: Sequence[Sequence[str]], places: Sequence[int], count: int) -> list[list[tuple[str, float]]]:
        """For each list of words, the `count` likeliest whole words for its place, with probabilities, best first."""
        ...


class Tagger(Protocol):
    """Finds labelled stretches in texts: names, places."""

    def spans(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """The stretches of each text, by their characters."""
        ...


class Classifier(Protocol):
    """A trained model that labels texts."""

    labels: tuple[str, ...]

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """[N, C], in the order of `labels`."""
        ...


class Models(Protocol):
    """Models by reference, opened when they are first asked for. A reference is what `base.model` takes (`bundled`, a
    folder, a hub id, `run:NAME/N`); for responders also `https://host/v1#model`, an OpenAI-compatible endpoint."""

    def responder(self, reference: str) -> Responder: ...

    def embedder(self, reference: str) -> Embedder: ...

    def token_embedder(self, reference: str) -> TokenEmbedder: ...

    def filler(self, reference: str) -> Filler: ...

    def tagger(self, reference: str) -> Tagger: ...

    def classifier(self, reference: str) -> Classifier: ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of the base's tokenizer each text has."""
        ...


class Plain:
    """What a dataclass that is kept as JSON inherits: its values, those of what it holds among them, in plain form."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain: dict[str, Any] = self._adapter().dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        made: Self = cls._adapter().validate_python(value)
        return made

    @classmethod
    @cache
    def _adapter(cls) -> TypeAdapter[Any]:
        from pydantic import TypeAdapter  # not where records alone are wanted

        return TypeAdapter(cls)
