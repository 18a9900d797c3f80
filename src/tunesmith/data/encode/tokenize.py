"""Records to token ids, with a mask of what is trained.

Shapes: T tokens of a row, S tokens of an encoder-decoder's answer.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.data.disk.examples import ExamplesWriter
from tunesmith.data.encode import tags
from tunesmith.data.encode.chat_format import ChatFormat
from tunesmith.data.encode.dialogue import ChatCodec
from tunesmith.data.encode.example import ROLES, TOO_LONG, Encoded, Example, Family, Need
from tunesmith.data.encode.lexer import Lexer, Tokens
from tunesmith.data.read.values import BadRow
from tunesmith.data.room import Chunks, Mapper
from tunesmith.data.steps import Dropped
from tunesmith.errors import DataError, ModelError
from tunesmith.records import Message, Record, Span

__all__ = ["ROLES", "Codec", "Encoded", "Example", "Family", "Need"]

SHORTEST = 8
"""The smallest max_length: template and stop token need room beside the words."""

_CHUNK = 128
"""Records handed over at once; long ones take seconds."""
_SPECIAL, _TEXT = ROLES.index("special"), ROLES.index("text")
_SPOKEN = ("chat", "pair")
"""Shapes of records that the chat template writes."""
_PROBE = (Message("user", "a"),)


class Codec:
    """A tokenizer with its chat template, the labels and a longest row: records in, token ids out. Knows no torch.

    Args:
        tokenizer: a fast transformers tokenizer; with a chat template when `need` is `chat`.
        need: what the objective learns from.
        family: of the base.
        max_length: the most tokens of an example.
        too_long: `truncate`, `drop` or `refuse` longer rows. Truncating takes the oldest turns and then the beginning
            of the question, so that the answer and its stop token stay; prose is cut into several examples; texts
            with a label or spans lose their end.
        labels: names of the labels, or of the spans' labels.
        multi_label: whether a row may have several labels.

    Raises:
        ModelError: the tokenizer or its template cannot be used for `need`.
        DataError: max_length is too small for anything.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        need: Need,
        family: Family,
        max_length: int,
        too_long: str,
        labels: Sequence[str] = (),
        multi_label: bool = False,
    ) -> None:
        if max_length < SHORTEST:
            raise DataError(
                f"max_length of {max_length} tokens leaves no room for words",
                where="data.max_length",
                fix=f"write at least {SHORTEST} tokens",
            )
        self.tokenizer = tokenizer
        self.need = need
        self.family = family
        self.max_length = max_length
        self.too_long = too_long
        self.labels = tuple(labels)
        self.multi_label = multi_label
        self.tag_names: tuple[str, ...] = tags.tag_names(labels) if need == "spans" else ()
        """Names of the tags, `("O", "B-LOC", "I-LOC", ...)`."""
        self._label_index = {label: number for number, label in enumerate(self.labels)}
        self._lexer = Lexer(tokenizer)
        form = ChatFormat(tokenizer) if tokenizer.chat_template and family != "encoder" else None
        if need == "chat" and form is None:
            raise ModelError(
                "an encoder cannot answer" if family == "encoder" else "the tokenizer has no chat template",
                where="base.model",
                fix="use a causal or encoder-decoder base with a chat template",
            )
        self.bos_id = self._lexer.bos_id(form.prompt(_PROBE) if form else "") if family == "causal" else None
        """The token every sequence of a causal base begins with, exactly once; None where the base has none."""
        self.notes: tuple[str, ...] = tuple(form.notes) if form and need == "chat" else ()
        """What was noticed about the tokenizer and its template."""
        stop = form.stop if form and need == "chat" and family == "causal" else None
        written = () if stop is None else (int(tokenizer.convert_tokens_to_ids(stop)),)
        ends = () if self._lexer.eos_id is None else (self._lexer.eos_id,)
        self.stop_ids: tuple[int, ...] = tuple(dict.fromkeys((*written, *ends)))
        """Tokens that end an answer, the one trained first."""
        # A causal model sums a text up in its last token, and learns from the end-of-text token where texts end.
        begins = () if self.bos_id is None else (self.bos_id,)
        self._before, self._after = (begins, ends) if family == "causal" else (self._lexer.before, self._lexer.after)
        self._chat: ChatCodec | None = None
        if form is not None and (need == "chat" or (need == "text" and family == "causal")):
            self._chat = ChatCodec(
                self._lexer,
                form,
                before=self._before,
                after=self._after,
                max_length=max_length,
                too_long=too_long,
                answers_apart=family == "encoder_decoder",
            )

    # Encoding ---------------------------------------------------------------------------------------

    def encode(self, record: Record) -> list[Example]:
        """The examples of one record: usually one, several for long prose, none when it is dropped.

        Raises:
            DataError: the row is too long and `too_long` is `refuse`.
        """
        return list(self.encode_many([record]).examples)

    def encode_many(
        self,
        records: Sequence[Record],
        after: Callable[[int], None] = lambda done: None,
        mapper: Mapper = map,
    ) -> Encoded:
        """Encodes records in order, in batches.

        Args:
            after: called with the number of records done.
            mapper: calls a function on batches, on several cores; one after the other when left out.

        Raises:
            DataError: rows are too long and `too_long` is `refuse`; it names them.
        """
        examples = ExamplesWriter()
        dropped: list[Dropped] = []
        gone, places = array("q"), array("q")
        done = 0
        for chunk in mapper(self._encoded, Chunks(records, _CHUNK)):
            for place, found in enumerate(chunk, done):
                if isinstance(found, BadRow):
                    dropped.append(Dropped(records[place], "tokenize", found.reason))
                    gone.append(place)
                    continue
                for example in found:
                    examples.append(example)
                    places.append(place)
            done += len(chunk)
            after(done)
        if self.too_long == "refuse":
            self._refuse_long([drop.record for drop in dropped if drop.reason == TOO_LONG])
        return Encoded(examples.finish(), dropped, np.asarray(gone, np.int64), np.asarray(places, np.int64))

    def _refuse_long(self, records: Sequence[Record]) -> None:
        if records:
            named = ", ".join(record.source for record in records[:5])
            raise DataError(
                f"{len(records)} {'row is' if len(records) == 1 else 'rows are'} longer than {self.max_length} tokens:"
                f" {named}",
                where="data.too_long: refuse",
                fix="raise data.max_length, shorten the rows, or write `too_long: truncate` or `drop`",
            )

    def _encoded(self, records: Sequence[Record]) -> list[list[Example] | BadRow]:
        return list(self._chunk(list(records)))

    def _chunk(self, records: Sequence[Record]) -> Iterator[list[Example] | BadRow]:
        if self.need == "text":
            for record in records:
                yield self._tried(self._prose, record)
        elif self._chat is not None:
            yield from self._chat.encode(records)
        else:
            words = [_words(record) for record in records]
            for record, tokens in zip(records, self._lexer.plain(words, offsets=self.need == "spans"), strict=True):
                yield self._tried(self._labelled, record, tokens)

    def _tried(self, encode: Callable[..., list[Example]], *values: Any) -> list[Example] | BadRow:
        try:
            return encode(*values)
        except BadRow as reason:
            return reason

    # Prose, labels and spans ------------------------------------------------------------------------

    def _prose(self, record: Record) -> list[Example]:
        ids, roles = self._running(record)
        if len(ids) > self.max_length and self.too_long != "truncate":
            raise BadRow(TOO_LONG)
        if not (roles != _SPECIAL).any():
            raise BadRow("no token to train on")
        borders = [*range(0, len(ids), self.max_length), len(ids)]
        if len(borders) > 2 and borders[-1] - borders[-2] == 1:
            borders[-2] -= 1  # a piece of one token has nothing to predict it from
        examples = []
        for number, (start, end) in enumerate(pairwise(borders), 1):
            trained = np.ones(end - start, dtype=np.bool_)
            trained[0] = False
            name = record.id if number == 1 else f"{record.id}#{number}"
            examples.append(Example(name, ids[start:end], trained, roles[start:end], record.weight))
        return examples

    def _running(self, record: Record) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
        """All tokens of a text, or of a conversation as the chat template writes it, with their roles."""
        if self._chat is not None and record.shape in _SPOKEN:
            return self._chat.running((*record.messages, *record.chosen))
        words = self._lexer.plain_ids(_words(record))
        ids = np.concatenate([self._before, words, self._after]).astype(np.int32)
        roles = np.full(len(words), _TEXT, dtype=np.uint8)
        return ids, np.pad(roles, (len(self._before), len(self._after)), constant_values=_SPECIAL)

    def _labelled(self, record: Record, tokens: Tokens) -> list[Example]:
        room = self.max_length - len(self._before) - len(self._after)
        cut = max(0, len(tokens.ids) - room)
        if cut and self.too_long != "truncate":
            raise BadRow(TOO_LONG)
        if not len(tokens.ids):
            raise BadRow("no token to read")
        kept = tokens.ids[: len(tokens.ids) - cut]
        ids = np.concatenate([self._before, kept, self._after]).astype(np.int32)
        roles = np.full(len(ids), _SPECIAL, dtype=np.uint8)
        roles[len(self._before) : len(self._before) + len(kept)] = _TEXT
        example = Example(record.id, ids, np.zeros(len(ids), dtype=np.bool_), roles, record.weight, cut=cut)
        if self.need == "spans":
            return [self._tagged(record, tokens, example)]
        if not record.labels:
            raise BadRow("no label")
        if unknown := [label for label in record.labels if label not in self._label_index]:
            raise BadRow(f"a label that is not among the model's: {unknown[0]}")
        if len(record.labels) > 1 and not self.multi_label:
            raise BadRow("several labels where one is asked")
        return [replace(example, label=tuple(self._label_index[label] for label in record.labels))]

    def _tagged(self, record: Record, tokens: Tokens, example: Example) -> Example:
        if any(f"B-{span.label}" not in self.tag_names for span in record.spans or ()):
            raise BadRow("a span's label is not among the model's")
        begin, end = len(self._before), len(example.ids) - len(self._after)
        asked = tags.asked_tokens(_words(record), tokens.offsets[: end - begin])
        kept = tags.tags_of(record.spans or (), asked, self.tag_names, end - begin)
        tags_T = np.full(len(example.ids), tags.NOT_ASKED, dtype=np.int32)
        tags_T[begin:end] = kept
        said = set(tags.spans_of(kept.tolist(), asked, self.tag_names))
        return replace(example, tags=tags_T, bent=not example.cut and said != set(record.spans or ()))

    def spans_of(self, record: Record, tag_ids: Sequence[int]) -> tuple[Span, ...]:
        """The stretches of the record's text that token tags name.

        Args:
            tag_ids: index into `tag_names` for each token of the record's example, [T].
        """
        (tokens,) = self._lexer.plain([_words(record)])
        num_kept = max(0, len(tag_ids) - len(self._before) - len(self._after))
        asked = tags.asked_tokens(_words(record), tokens.offsets[:num_kept])
        begin = len(self._before)
        return tags.spans_of(tag_ids[begin : begin + num_kept], asked, self.tag_names)

    def tokens_of(self, text: str) -> Tokens:
        """The tokens of a text by itself, with the characters that each stands for."""
        (tokens,) = self._lexer.plain([text])
        return tokens

    # Prompts ----------------------------------------------------------------------------------------

    def prompt_ids(self, record: Record, room: int = 0) -> list[int]:
        """What generation starts from: the conversation up to its last answer, generation prompt included, or the text.

        Args:
            room: tokens to be left free under max_length for the answer.

        Raises:
            DataError: the template refuses the conversation, or there is no room for a prompt.
        """
        limit = self.max_length - room
        if limit < 1:
            raise DataError(
                f"no room for a prompt: {room} of {self.max_length} tokens are kept for the answer",
                where="evaluate.max_new_tokens",
                fix="raise data.max_length or lower evaluate.max_new_tokens",
            )
        if self._chat is not None and (self.need == "chat" or record.shape in _SPOKEN):
            try:
                return self._chat.prompt_ids(record.prompt, limit)
            except BadRow as error:
                raise DataError(error.reason, where=record.source, fix="mend the row or leave it out") from error
        ids = [*self._before, *self._lexer.plain_ids(_words(record)).tolist()]
        after = self._after if self.family != "causal" or self.need == "label" else ()
        return [*ids[: limit - len(after)], *after]


def _words(record: Record) -> str:
    """The text of a record that is read as such; a conversation's turns are parted by blank lines."""
    if record.text is not None:
        return record.text
    return "\n\n".join(turn.content for turn in (*record.messages, *record.chosen))
