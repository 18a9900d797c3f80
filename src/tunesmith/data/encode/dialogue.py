"""Conversations to examples: which tokens are answers, and how long ones are shortened.

Shapes: T tokens of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunesmith.data.encode.chat_format import ChatFormat, Rendered
from tunesmith.data.encode.example import ROLES, TOO_LONG, Example
from tunesmith.data.encode.lexer import Lexer, Tokens
from tunesmith.data.read.values import BadRow
from tunesmith.records import Message, Record, Role

_SPECIAL = ROLES.index("special")
_CUT_FIRST = ("user", "tool", "system", "assistant")
"""Whose words before an answer are cut first."""
_NO_ROOM = "no room for the answer under max_length"


@dataclass(frozen=True, slots=True)
class _Row:
    """A sequence before it is fitted into max_length."""

    ids: npt.NDArray[np.int32]
    trained: npt.NDArray[np.bool_]
    roles: npt.NDArray[np.uint8]

    def only(self, kept_T: npt.NDArray[np.bool_]) -> _Row:
        return _Row(self.ids[kept_T], self.trained[kept_T], self.roles[kept_T])


class ChatCodec:
    """Conversations to examples for one tokenizer and template.

    Args:
        lexer: the tokenizer.
        form: its chat template.
        before: ids put before a sequence, the beginning token if there is one.
        after: ids that end a text, the end-of-text token if there is one.
        max_length: the most tokens of an example.
        too_long: `truncate`, `drop` or `refuse`.
        answers_apart: whether answers are read by a decoder of their own (encoder-decoder bases) instead of standing
            in one sequence with what they answer (causal bases).
    """

    def __init__(
        self,
        lexer: Lexer,
        form: ChatFormat,
        *,
        before: tuple[int, ...],
        after: tuple[int, ...],
        max_length: int,
        too_long: str,
        answers_apart: bool,
    ) -> None:
        self._lexer = lexer
        self._form = form
        self._before = before
        self._after = after
        self._max_length = max_length
        self._too_long = too_long
        self._answers_apart = answers_apart

    def encode(self, records: Sequence[Record]) -> Iterator[list[Example] | BadRow]:
        """The examples of each record in order, or why it has none."""
        if self._answers_apart:
            for record in records:
                try:
                    yield self._apart(record)
                except BadRow as reason:
                    yield reason
            return
        found = [self._rendered(record) for record in records]
        rows = iter(self._rows([text for texts in found if not isinstance(texts, BadRow) for text in texts]))
        for record, texts in zip(records, found, strict=True):
            if isinstance(texts, BadRow):
                yield texts
                continue
            pairs = [(text, next(rows)) for text in texts]
            try:
                yield [
                    self._fitted(_name(record, number), record.weight, text, row)
                    for number, (text, row) in enumerate(pairs, 1)
                ]
            except BadRow as reason:
                yield reason

    def prompt_ids(self, messages: Sequence[Message], limit: int) -> list[int]:
        """What a model is given to answer `messages`, at most `limit` tokens: without the oldest turns, then without
        the beginning of the question.

        Raises:
            BadRow: the template refuses the messages.
        """
        return [int(token) for token in self._prompt(self._form.prepared(messages), limit).ids]

    def running(self, messages: Sequence[Message]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
        """All tokens of a conversation, whoever said them, and their roles; for learning to continue text.

        Raises:
            BadRow: the template refuses the conversation.
        """
        text = self._form.conversation(self._form.prepared(messages))
        (tokens,) = self._lexer.chat([text.text])
        row = self._row(text, tokens, ())
        return row.ids, row.roles

    # One sequence -----------------------------------------------------------------------------------

    def _rendered(self, record: Record) -> list[Rendered] | BadRow:
        try:
            return self._form.render(self._form.prepared((*record.messages, *record.chosen)))
        except BadRow as reason:
            return reason

    def _rows(self, texts: Sequence[Rendered]) -> list[_Row]:
        """Tokens of rendered conversations: one call of the tokenizer for all of them, one for all their prompts."""
        whole = self._lexer.chat([text.text for text in texts])
        prompts = iter(self._lexer.chat_ids([text.text[:start] for text in texts for start, _ in text.answers]))
        return [
            self._row(text, tokens, [next(prompts) for _ in text.answers])
            for text, tokens in zip(texts, whole, strict=True)
        ]

    def _row(self, text: Rendered, tokens: Tokens, prompts: Sequence[Sequence[int]]) -> _Row:
        if not all(_begins(tokens.ids, prompt) for prompt in prompts):
            # Some token reaches over the border of prompt and answer. A served model is given the prompt's own
            # tokens, so it is trained from those too, unless taking the text apart would change it.
            apart = self._lexer.pieces(text.text, [start for start, _ in text.answers])
            if self._lexer.decode(apart.ids) == self._lexer.decode(tokens.ids):
                tokens = apart
        trained = np.zeros(len(tokens.ids), dtype=np.bool_)
        ends, starts = np.maximum.accumulate(tokens.offsets[:, 1]), tokens.offsets[:, 0]
        for (start, end), prompt in zip(text.answers, prompts, strict=True):
            first = len(prompt) if _begins(tokens.ids, prompt) else int(np.searchsorted(ends, start, side="right"))
            trained[first : np.searchsorted(starts, end, side="left")] = True
        roles = _roles(text.contents, tokens)
        stop = () if text.stops else self._after
        begin = () if tokens.ids[: len(self._before)].tolist() == list(self._before) else self._before
        if not begin and not stop:
            return _Row(tokens.ids, trained, roles)
        return _Row(
            np.concatenate([begin, tokens.ids, stop]).astype(np.int32),
            np.concatenate([np.zeros(len(begin), dtype=np.bool_), trained, np.ones(len(stop), dtype=np.bool_)]),
            np.pad(roles, (len(begin), len(stop)), constant_values=_SPECIAL),
        )

    def _fitted(self, name: str, weight: float, text: Rendered, row: _Row) -> Example:
        length = len(row.ids)
        if length > self._max_length:
            if self._too_long != "truncate":
                raise BadRow(TOO_LONG)
            row = self._shortened(text, row)
        if not row.trained.any():
            raise BadRow(_NO_ROOM if length > self._max_length else "no token to train on")
        return Example(name, row.ids, row.trained, row.roles, weight, cut=length - len(row.ids))

    def _shortened(self, text: Rendered, row: _Row) -> _Row:
        """Without the oldest turns, then without the first words before the last answer, then without its end."""
        messages = text.messages
        while len(row.ids) > self._max_length and (shorter := _without_oldest(messages)) is not None:
            messages = shorter
            (row,) = self._rows([self._form.render(messages)[-1]])
        answer = int(np.flatnonzero(np.diff(row.trained.astype(np.int8), prepend=0) == 1)[-1])
        row = row.only(_kept(row.roles, answer, len(row.ids) - self._max_length))
        return row.only(np.arange(len(row.ids)) < self._max_length)

    # Answers apart ----------------------------------------------------------------------------------

    def _apart(self, record: Record) -> list[Example]:
        messages = self._form.prepared((*record.messages, *record.chosen))
        trained = [index for index, message in enumerate(messages) if message.trained and index > 0]
        if not trained:
            raise BadRow("no trained answer to a question")
        return [
            self._example(_name(record, number), record.weight, messages[:index], messages[index].content)
            for number, index in enumerate(trained, 1)
        ]

    def _example(self, name: str, weight: float, asked: Sequence[Message], answer: str) -> Example:
        (said,) = self._lexer.chat([answer])
        answer_ids = np.concatenate([self._before, said.ids, self._after]).astype(np.int32)
        whole = self._prompt(asked, None)
        row = self._prompt(asked, self._max_length)
        cut = len(whole.ids) - len(row.ids) + max(0, len(answer_ids) - self._max_length)
        if cut and self._too_long != "truncate":
            raise BadRow(TOO_LONG)
        return Example(
            name, row.ids, row.trained, row.roles, weight, answer_ids=answer_ids[: self._max_length], cut=cut
        )

    def _prompt(self, asked: Sequence[Message], limit: int | None) -> _Row:
        """A prompt of (prepared) messages, nothing trained, at most `limit` tokens."""
        while True:
            text = self._form.prompt(asked)
            (tokens,) = self._lexer.chat([text])
            begin = () if tokens.ids[: len(self._before)].tolist() == list(self._before) else self._before
            end = self._after if self._answers_apart else ()
            ids = np.concatenate([begin, tokens.ids, end]).astype(np.int32)
            shorter = _without_oldest(asked) if limit is not None and len(ids) > limit else None
            if shorter is None:
                break
            asked = shorter
        roles = np.pad(_roles(self._form.contents(text, asked), tokens), (len(begin), len(end)))
        row = _Row(ids, np.zeros(len(ids), dtype=np.bool_), roles)
        if limit is None or len(ids) <= limit:
            return row
        row = row.only(_kept(row.roles, len(ids), len(ids) - limit))
        return row.only(np.arange(len(row.ids)) >= len(row.ids) - limit)


def _name(record: Record, number: int) -> str:
    return record.id if number == 1 else f"{record.id}#{number}"


def _begins(ids: npt.NDArray[np.int32], prompt: Sequence[int]) -> bool:
    return bool(ids[: len(prompt)].tolist() == prompt)


def _roles(contents: Sequence[tuple[int, int, Role]], tokens: Tokens) -> npt.NDArray[np.uint8]:
    """The role of every token, [T]; what stands in no message's words is special."""
    starts, ends = tokens.offsets[:, 0], np.maximum.accumulate(tokens.offsets[:, 1])
    roles = np.full(len(tokens.ids), _SPECIAL, dtype=np.uint8)
    for start, end, role in contents:
        if start < end:
            first, last = np.searchsorted(ends, start, side="right"), np.searchsorted(starts, end, side="left")
            roles[first:last] = ROLES.index(role)
    return roles


def _without_oldest(messages: Sequence[Message]) -> list[Message] | None:
    """The messages from the second question on, after the system message; None when there is no second question."""
    system = [message for message in messages[:1] if message.role == "system"]
    rest = messages[len(system) :]
    second = next((at for at, message in enumerate(rest) if at > 0 and message.role == "user"), None)
    return None if second is None else [*system, *rest[second:]]


def _kept(roles: npt.NDArray[np.uint8], before: int, excess: int) -> npt.NDArray[np.bool_]:
    """Which tokens stay when `excess` words in front of token `before` are cut, the first ones first, [T]."""
    kept_T = np.ones(len(roles), dtype=np.bool_)
    for role in _CUT_FIRST:
        if excess <= 0:
            break
        cut = np.flatnonzero(roles[:before] == ROLES.index(role))[:excess]
        kept_T[cut] = False
        excess -= len(cut)
    return kept_T
