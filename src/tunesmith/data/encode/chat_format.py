"""A tokenizer's chat template as text: where each message's words stand, where answers begin, what ends them.

An answer begins where the template's generation prompt for the messages before it ends, so a model is
trained from exactly the text it is later asked to continue. It ends with the template's stop token.
Control tokens written in a user's text (`<|im_end|>` in a ticket) are wrapped in marks, so that they can
be tokenised as the plain letters they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import TemplateError

from tunesmith.data.read.values import BadRow
from tunesmith.errors import ModelError
from tunesmith.records import Message, Role

MARK, UNMARK = "\ue0f0", "\ue0f1"
"""Private-use characters around a control token that is only text."""

_SYSTEM, _USER, _ANSWER = "system probe", "user probe", "answer probe"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as the text a tokenizer reads, marks included."""

    messages: Sequence[Message]
    """What is written here, as the template got it."""
    text: str
    contents: tuple[tuple[int, int, Role], ...]
    """Start, end and role of each message's own words, in order."""
    answers: tuple[tuple[int, int], ...]
    """Start and end of each trained answer: from the end of its prompt to the end of its stop token."""
    stops: bool
    """Whether the template wrote the stop token after the last answer."""


class ChatFormat:
    """What a chat template does, found out by trying it.

    Args:
        tokenizer: a fast transformers tokenizer with a chat template.

    Raises:
        ModelError: the template cannot be used.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._skeletons: dict[tuple[Role, ...], list[str] | None] = {}
        self.notes: list[str] = []
        template = tokenizer.get_chat_template()
        self.control_tokens = tuple(
            token.content
            for token in tokenizer.added_tokens_decoder.values()
            if not token.content.isspace() and (token.special or token.content in template)
        )
        longest_first = sorted(self.control_tokens, key=len, reverse=True)
        self._controls = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._try()

    def _try(self) -> None:
        asked = [Message("user", _USER), Message("assistant", _ANSWER)]
        try:
            text = self._apply(asked)
            prompt = self._apply(asked[:1], generation=True)
        except BadRow as error:
            raise ModelError(
                f"the chat template fails on one question and one answer: {error.__cause__}",
                fix="use a base whose chat template takes user and assistant turns",
            ) from error
        if _USER not in text or _ANSWER not in text or not text.startswith(prompt):
            raise ModelError(
                "the chat template leaves words out, or writes a prompt that its conversations do not begin with",
                fix="use a base whose chat template writes every turn in order",
            )
        tail = text[text.rindex(_ANSWER) + len(_ANSWER) :]
        found = self._controls.search(tail)
        self.stop: str | None = found.group() if found else None
        self._stop = re.compile(f"(?<!{MARK})" + re.escape(self.stop)) if self.stop else None
        self._stops_every_turn = self._stop is not None and self._count_stops(asked * 2) >= 2
        self.takes_system = self._system_survives()
        if not self.takes_system:
            self.notes.append("the chat template has no system role; system messages go in front of the first question")
        if self.stop is None:
            self.notes.append("the chat template does not end an answer; the end-of-text token is put after it")

    def _count_stops(self, messages: Sequence[Message]) -> int:
        try:
            return len(self._stop.findall(self._apply(messages))) if self._stop else 0
        except BadRow:
            return 0

    def _system_survives(self) -> bool:
        try:
            return _SYSTEM in self._apply([Message("system", _SYSTEM), Message("user", _USER)], generation=True)
        except BadRow:
            return False

    def _apply(self, messages: Sequence[Message], generation: bool = False) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation)
        except (TemplateError, ValueError, TypeError, KeyError) as error:
            raise BadRow("the chat template refuses this order of roles") from error
        assert isinstance(text, str)
        return text

    def prepared(self, messages: Sequence[Message]) -> list[Message]:
        """The messages as the template gets them: control tokens marked, a system message it would drop moved into
        the first question.
        """
        marked = [replace(message, content=self._marked(message.content)) for message in messages]
        if not self.takes_system and marked and marked[0].role == "system":
            system, rest = marked[0], marked[1:]
            at = next((index for index, message in enumerate(rest) if message.role == "user"), None)
            if at is None:
                return [Message("user", system.content), *rest]
            rest[at] = replace(rest[at], content=f"{system.content}\n\n{rest[at].content}")
            return rest
        return marked

    def _marked(self, content: str) -> str:
        if not self._controls.search(content):
            return content
        return self._controls.sub(f"{MARK}\\g<0>{UNMARK}", content.replace(MARK, "").replace(UNMARK, ""))

    def prompt(self, messages: Sequence[Message]) -> str:
        """The text a model continues to answer these (prepared) messages. Raises BadRow."""
        return self._apply(messages, generation=True)

    def conversation(self, messages: Sequence[Message]) -> Rendered:
        """A whole (prepared) conversation, last turn and all, with no answer marked. Raises BadRow."""
        text = self._apply(messages)
        stops = self.stop is not None and text.rstrip().endswith(self.stop)
        return Rendered(messages, text, self.contents(text, messages), (), stops)

    def render(self, messages: Sequence[Message]) -> list[Rendered]:
        """The text of a (prepared) conversation up to its last trained answer.

        One text for all trained answers where the template writes earlier turns the same way whatever follows and
        ends each with a stop token; otherwise one text for each trained answer, as it is when it is given.

        Raises:
            BadRow: the template refuses the conversation or rewrites it.
        """
        trained = [index for index, message in enumerate(messages) if message.trained and index > 0]
        if not trained:
            raise BadRow("no trained answer to a question")
        whole = self._apply(messages[: trained[-1] + 1])
        prompts = [self.prompt(messages[:index]) for index in trained]
        together = self._stops_every_turn and all(
            whole.startswith(prompt) and whole[len(prompt) :].lstrip().startswith(messages[index].content.strip())
            for index, prompt in zip(trained, prompts, strict=True)
        )
        if len(trained) == 1 or together:
            return [self._rendered(whole, messages[: trained[-1] + 1], prompts)]
        texts = [self._apply(messages[: index + 1]) for index in trained]
        return [
            self._rendered(text, messages[: index + 1], [prompt])
            for text, index, prompt in zip(texts, trained, prompts, strict=True)
        ]

    def _rendered(self, text: str, messages: Sequence[Message], prompts: Sequence[str]) -> Rendered:
        answers = []
        for prompt in prompts:
            if not text.startswith(prompt):
                raise BadRow("the chat template rewrites the prompt")
            stop = self._stop.search(text, len(prompt)) if self._stop else None
            answers.append((len(prompt), stop.end() if stop else len(text)))
        return Rendered(messages, text, self.contents(text, messages), tuple(answers), stop is not None)

    def contents(self, text: str, messages: Sequence[Message]) -> tuple[tuple[int, int, Role], ...]:
        """Where each message's own words stand in the text the template made of (prepared) messages."""
        parts = self._skeleton(tuple(message.role for message in messages))
        found: list[tuple[int, int, Role]] = []
        at = 0
        for index, message in enumerate(messages):
            placed = _between(text, parts[index], message.content, parts[index + 1], at) if parts else None
            if placed is None:  # the template changes words or order: take the words where they come next
                own = message.content.strip()
                start = text.find(own, at)
                if start < 0:
                    continue
                placed = (start, start + len(own))
            found.append((*placed, message.role))
            at = placed[1]
        return tuple(found)

    def _skeleton(self, roles: tuple[Role, ...]) -> list[str] | None:
        """The template's own text before, between and after the contents of messages in these roles."""
        if roles not in self._skeletons:
            fillers = [f"\ue0f2{number}\ue0f3" for number in range(len(roles))]
            parts: list[str] | None = None
            try:
                text = self._apply([Message(role, filler) for role, filler in zip(roles, fillers, strict=True)])
            except BadRow:
                text = ""
            found = re.split("\ue0f2\\d+\ue0f3", text)
            if re.findall("\ue0f2\\d+\ue0f3", text) == fillers:
                parts = found
            self._skeletons[roles] = parts
        return self._skeletons[roles]


def _between(text: str, before: str, content: str, after: str, at: int) -> tuple[int, int] | None:
    if not text.startswith(before, at):
        return None
    start = at + len(before)
    for form in (content, content.strip(), content.lstrip(), content.rstrip()):
        if text.startswith(form, start) and text.startswith(after, start + len(form)):
            return start, start + len(form)
    return None
