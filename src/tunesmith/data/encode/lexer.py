"""A tokenizer as the codec uses it: texts to ids with character offsets, nothing added unasked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.data.encode.chat_format import MARK, UNMARK
from tunesmith.errors import ModelError

_MARKED = re.compile(f"{MARK}(.*?){UNMARK}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one text, with the characters each stands for."""

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    """Start and end character of each token, [T, 2]; nothing where they were not asked for."""


class Lexer:
    """Wraps a fast transformers tokenizer.

    Args:
        tokenizer: the tokenizer of a base.

    Raises:
        ModelError: it cannot say where in a text its tokens stand.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                f"the tokenizer {type(tokenizer).__name__} does not say where in a text its tokens stand",
                fix="use a base with a tokenizer.json",
            )
        self._tokenizer = tokenizer
        self.eos_id: int | None = tokenizer.eos_token_id
        around = tokenizer("a", add_special_tokens=True, verbose=False)["input_ids"]
        alone = tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"]
        at = next((k for k in range(len(around)) if around[k : k + len(alone)] == alone), 0)
        self.before: tuple[int, ...] = tuple(around[:at])
        """What the tokenizer itself puts before a text."""
        self.after: tuple[int, ...] = tuple(around[at + len(alone) :])
        """What the tokenizer itself puts after a text."""

    def bos_id(self, chat_text: str) -> int | None:
        """The token that begins every sequence, if there is one.

        Args:
            chat_text: a conversation as the chat template writes it; one beginning token in it shows that the base
                was trained with one even where the tokenizer does not add it by itself.
        """
        bos_id: int | None = self._tokenizer.bos_token_id
        if bos_id is None:
            return None
        written: str = self._tokenizer.bos_token
        begins = chat_text.startswith(written) and chat_text.count(written) == 1
        return bos_id if begins or self.before[:1] == (bos_id,) else None

    def plain(self, texts: Sequence[str], *, offsets: bool = True) -> list[Tokens]:
        """Tokens of users' texts: names of special tokens in them are letters like any other."""
        return self._tokens(texts, split_special_tokens=True, offsets=offsets)

    def plain_ids(self, text: str) -> npt.NDArray[np.int32]:
        """As `plain` for one long text, without offsets."""
        found = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
        return np.asarray(found["input_ids"], dtype=np.int32)

    def chat(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokens of rendered conversations: control tokens are tokens, but marked ones are letters."""
        found = self._tokens([text for text in texts if MARK not in text], split_special_tokens=False)
        quick = iter(found)
        return [self.pieces(text, ()) if MARK in text else next(quick) for text in texts]

    def chat_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """As `chat`, without offsets."""
        if any(MARK in text for text in texts) or not texts:
            return [tokens.ids.tolist() for tokens in self.chat(texts)]
        found = self._tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
        ids: list[list[int]] = found["input_ids"]
        return ids

    def pieces(self, text: str, cuts: Sequence[int]) -> Tokens:
        """Tokens of a rendered conversation with no token reaching across a cut, nor into marked letters.

        Args:
            cuts: characters at which a new token must begin, ascending.
        """
        parts: list[tuple[int, int, bool]] = []  # start, end, whether letters only
        at = 0
        for match in _MARKED.finditer(text):
            parts += [(at, match.start(), False), (match.start(1), match.end(1), True)]
            at = match.end()
        parts.append((at, len(text), False))
        tokens = []
        for start, end, letters in parts:
            borders = [start, *(cut for cut in cuts if start < cut < end), end]
            for left, right in pairwise(borders):
                if left < right:
                    (found,) = self._tokens([text[left:right]], split_special_tokens=letters)
                    tokens.append(Tokens(found.ids, found.offsets + left))
        return Tokens(
            np.concatenate([found.ids for found in tokens]), np.concatenate([found.offsets for found in tokens])
        )

    def decode(self, ids: Sequence[int] | npt.NDArray[np.int32]) -> str:
        """The text of some ids, special tokens written out."""
        text = self._tokenizer.decode(
            list(map(int, ids)), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    def _tokens(self, texts: Sequence[str], split_special_tokens: bool, offsets: bool = True) -> list[Tokens]:
        if not texts:
            return []
        found = self._tokenizer(
            list(texts),
            add_special_tokens=False,
            split_special_tokens=split_special_tokens,
            return_offsets_mapping=offsets,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        places = found["offset_mapping"] if offsets else [()] * len(texts)
        return [
            Tokens(np.asarray(ids, dtype=np.int32), np.asarray(place, dtype=np.int64).reshape(-1, 2))
            for ids, place in zip(found["input_ids"], places, strict=True)
        ]
