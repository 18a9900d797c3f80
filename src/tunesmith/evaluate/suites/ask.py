"""Asks a model the items of a suite.

Choices are scored as lm-evaluation-harness does: the log-likelihood of the choice's tokens after the context, context
and choice tokenised together, a blank at their border belonging to the choice. Texts begin with the model's BOS token
where its own sequences do, which the harness does when told `add_bos_token=True`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.data.encode.tokenize import Codec
from tunesmith.errors import DataError, ModelError
from tunesmith.evaluate.predict.surprise import answer_ids
from tunesmith.evaluate.suites.suite import Item, Suite
from tunesmith.records import Message, Record

if TYPE_CHECKING:
    from tunesmith.models.load import Model

AT_ONCE = 64
"""Items asked between two times that answers are kept."""


@dataclass(frozen=True)
class Answer:
    """What a model made of an item."""

    likely: tuple[float, ...] = ()
    """The log-likelihood of each choice, or of the right answer, in nats."""
    num_tokens: int = 0
    """Tokens of the right answer."""
    text: str = ""
    """What was generated."""
    cut: bool = False
    """Whether the beginning of the context was left out for want of room."""

    def to_json(self) -> list[Any]:
        """Plain JSON values."""
        return [list(self.likely), self.num_tokens, self.text, self.cut]

    @classmethod
    def from_json(cls, said: Sequence[Any]) -> Answer:
        """The inverse of `to_json`."""
        likely, num_tokens, text, cut = said
        return cls(tuple(likely), int(num_tokens), str(text), bool(cut))


def ask(
    model: Model,
    suite: Suite,
    *,
    batch: int = 16,
    known: Sequence[Answer] = (),
    keep: Callable[[Sequence[Answer]], None] = lambda answers: None,
    after: Callable[[int, int], None] = lambda done, total: None,
) -> list[Answer]:
    """One answer an item, in order.

    Args:
        model: with its own language head.
        suite: what is asked.
        batch: rows computed at once.
        known: answers to the first items, which are not asked again.
        keep: given further answers as they come, in order.
        after: told (done, total) items.

    Raises:
        ModelError: the model cannot answer.
        DataError: an answer is longer than the model's context.
    """
    if model.head is not None:
        raise ModelError(
            f"a model with a {model.head_kind} head cannot answer",
            where=model.reference,
            fix="name a causal or encoder-decoder model, or a run trained by sft",
        )
    asker = _Asker(model, suite, batch)
    made = list(known)
    after(len(made), len(suite.items))
    for start in range(len(made), len(suite.items), AT_ONCE):
        found = asker.answer(suite.items[start : start + AT_ONCE])
        keep(found)
        made += found
        after(len(made), len(suite.items))
    return made


class _Asker:
    def __init__(self, model: Model, suite: Suite, batch: int) -> None:
        self.model, self.suite, self.batch = model, suite, batch
        self.codec = Codec(
            model.tokenizer,
            need="chat" if suite.settings.chat else "text",
            family=model.family,
            max_length=model.context,
            too_long="truncate",
        )

    def answer(self, items: Sequence[Item]) -> list[Answer]:
        """The answers to some items."""
        return self._generate(items) if self.suite.kind == "generate" else self._score(items)

    def _score(self, items: Sequence[Item]) -> list[Answer]:
        from tunesmith.models.inference.score import score

        asked = [[self._pair(item, choice) for choice in (item.choices or item.answers[:1])] for item in items]
        every = [pair for of_item in asked for pair in of_item]
        nats = iter(score(self.model, [b for b, _, _ in every], [then for _, then, _ in every], batch=self.batch))
        return [
            Answer(
                likely=tuple(-next(nats) for _ in of_item),
                num_tokens=len(of_item[item.right][1]),
                cut=any(cut for _, _, cut in of_item),
            )
            for item, of_item in zip(items, asked, strict=True)
        ]

    def _generate(self, items: Sequence[Item]) -> list[Answer]:
        from tunesmith.models.inference.generate import generate

        longest = min(self.suite.settings.max_new_tokens, self.model.context // 2)
        room = self.model.context - longest
        prompts = [self._context(item.context) for item in items]
        said = generate(
            self.model,
            [prompt[-room:] for prompt in prompts],
            stop_ids=self.codec.stop_ids,
            max_new_tokens=longest,
            batch=self.batch,
        )
        return [
            Answer(text=self._until_stop(answer.text).strip(), num_tokens=answer.num_tokens, cut=len(prompt) > room)
            for answer, prompt in zip(said, prompts, strict=True)
        ]

    def _until_stop(self, text: str) -> str:
        begun = text.lstrip()  # an answer may begin on a line of its own
        ends = [place for stop in self.suite.settings.stop if stop and (place := begun.find(stop)) >= 0]
        return begun[: min(ends, default=len(begun))]

    def _pair(self, item: Item, choice: str) -> tuple[list[int], list[int], bool]:
        """What is read, what is then expected, and whether the first of it was cut."""
        if self.suite.settings.chat:
            before = self._context(item.context)
            turns = (Message("user", "?"), Message("assistant", choice, trained=True))
            then = answer_ids(self.codec, Record(id=item.id, source="", messages=turns))
        else:
            before, then = self._plain(item.context, (self.suite.settings.separator if item.context else "") + choice)
        room = self.model.context - (len(then) if self.model.family == "causal" else 0)
        if not then or room < 1:
            raise DataError(
                f"the answer has {len(then)} tokens, and the model reads {self.model.context}",
                where=item.id,
                fix="shorten the answer, or leave the item out",
            )
        return before[-room:], then, len(before) > room

    def _plain(self, context: str, answer: str) -> tuple[list[int], list[int]]:
        blanks = len(context) - len(context.rstrip())
        if blanks:
            context, answer = context[:-blanks], context[-blanks:] + answer
        if self.model.family != "causal":
            return self._context(context), self._ids(answer)
        before = self._ids(context)
        return [*self._begins(before), *before], self._ids(context + answer)[len(before) :]

    def _context(self, context: str) -> list[int]:
        if self.suite.settings.chat:
            turns = (Message("user", context), Message("assistant", "", trained=True))
            return self.codec.prompt_ids(Record(id="", source="", messages=turns))
        if self.model.family != "causal":
            return list(self.model.tokenizer(context)["input_ids"])
        ids = self._ids(context)
        return [*self._begins(ids), *ids]

    def _ids(self, text: str) -> list[int]:
        return list(self.model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _begins(self, context: Sequence[int]) -> list[int]:
        """What a text begins with: the BOS token, or, where there is none and nothing else, the one that ends texts."""
        if self.codec.bos_id is not None:
            return [self.codec.bos_id]
        return [] if context else list(self.codec.stop_ids[:1])
