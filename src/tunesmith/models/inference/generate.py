"""Greedy answers, batched: rows of similar length together, finished rows dropped, one key-value cache.

Tensors: B rows, T prompt tokens (padded on the left), V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tunesmith.models.inference.batching import accepted, by_length, check_prompts, nobody, pad_left, pad_right
from tunesmith.models.inference.choices import score_choices
from tunesmith.models.inference.score import classify, score, tag
from tunesmith.models.model import Model

__all__ = ["Answer", "classify", "generate", "score", "score_choices", "tag"]


@dataclass(frozen=True)
class Answer:
    """What a model said."""

    text: str
    """Without the token that ended it, and without special tokens."""
    num_tokens: int
    """Tokens generated, the one that ended it included."""
    finished: bool
    """Whether the model ended it; False when it ran into the limit."""
    seconds: float
    """Its share of the time its batch took."""


@torch.inference_mode()
def generate(
    model: Model,
    prompts: Sequence[Sequence[int]],
    *,
    stop_ids: Sequence[int],
    max_new_tokens: int,
    batch: int,
    after: Callable[[int], None] = nobody,
) -> list[Answer]:
    """Answers each prompt with the most likely next token, again and again.

    The answer to a prompt does not depend on the prompts beside it.

    Args:
        model: with its own language head.
        prompts: token ids, generation prompt included.
        stop_ids: tokens that end an answer.
        max_new_tokens: the longest answer; shorter where the model's context ends before.
        batch: prompts answered at once.
        after: called with the number of prompts answered so far.

    Raises:
        ModelError: the model has no language head, or a prompt fills its whole context.
    """
    check_prompts(model, prompts, [len(prompt) + (model.family == "causal") for prompt in prompts])
    model.train(False)
    answers: dict[int, Answer] = {}
    for rows in by_length([len(prompt) for prompt in prompts], batch):
        began = time.perf_counter()
        said = _answer_rows(model, [prompts[row] for row in rows], frozenset(stop_ids), max_new_tokens)
        seconds = (time.perf_counter() - began) / len(rows)
        for row, (tokens, finished) in zip(rows, said, strict=True):
            spoken = tokens[:-1] if finished else tokens
            text = model.tokenizer.decode(spoken, skip_special_tokens=True)
            answers[row] = Answer(text, len(tokens), finished, seconds)
        after(len(answers))
    return [answers[row] for row in range(len(prompts))]


def _answer_rows(
    model: Model, prompts: list[Sequence[int]], stop_ids: frozenset[int], max_new_tokens: int
) -> list[tuple[list[int], bool]]:
    said: list[list[int]] = [[] for _ in prompts]
    finished = [False] * len(prompts)
    decoder: _Decoder = _Causal(model, prompts) if model.family == "causal" else _EncoderDecoder(model, prompts)
    room = [min(max_new_tokens, decoder.room(len(prompt))) for prompt in prompts]
    rows = list(range(len(prompts)))  # which prompt each of the decoder's rows answers
    while True:
        next_B = decoder.next_logits().argmax(dim=-1)
        for row, token in zip(rows, next_B.tolist(), strict=True):
            if not finished[row] and len(said[row]) < room[row]:
                said[row].append(token)
                finished[row] = token in stop_ids
        open_places = [place for place, row in enumerate(rows) if not finished[row] and len(said[row]) < room[row]]
        if not open_places:
            return list(zip(said, finished, strict=True))
        # Dropping copies the cache, which pays once half of the rows are done.
        if 2 * len(open_places) <= len(rows):
            kept = torch.tensor(open_places, device=next_B.device)
            decoder.keep(kept)
            next_B, rows = next_B[kept], [rows[place] for place in open_places]
        decoder.read(next_B)


class _Decoder(Protocol):
    """The running state of a batch of answers."""

    def room(self, prompt_length: int) -> int:
        """How many tokens may follow a prompt of that length."""
        ...

    def next_logits(self) -> Tensor:
        """Logits [B, V] of the token after what was read last."""
        ...

    def read(self, tokens_B: Tensor) -> None:
        """Puts one token behind each row."""
        ...

    def keep(self, places: Tensor) -> None:
        """Goes on with these rows only."""
        ...


class _Causal:
    """Prompts padded on the left, so that all rows end in the same column."""

    def __init__(self, model: Model, prompts: Sequence[Sequence[int]]) -> None:
        from transformers import DynamicCache

        self._model = model
        self._ids, self._mask = pad_left(prompts, model.pad_id, model.device)
        self._cache = DynamicCache(config=model.inner.config)

    def room(self, prompt_length: int) -> int:
        return self._model.context - prompt_length

    def next_logits(self) -> Tensor:
        positions_BT = (self._mask.cumsum(dim=1) - 1).clamp(min=0)[:, -self._ids.shape[1] :]
        output = self._model.module(
            input_ids=self._ids,
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
            **accepted(self._model, position_ids=positions_BT, logits_to_keep=1),
        )
        logits_BV: Tensor = output.logits[:, -1]
        return logits_BV

    def read(self, tokens_B: Tensor) -> None:
        self._ids = tokens_B[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)

    def keep(self, places: Tensor) -> None:
        self._mask = self._mask[places]
        self._cache.batch_select_indices(places)


class _EncoderDecoder:
    """Prompts read once by the encoder, padded on the right; answers start together."""

    def __init__(self, model: Model, prompts: Sequence[Sequence[int]]) -> None:
        from transformers import DynamicCache, EncoderDecoderCache

        self._model = model
        ids_BT, self._mask = pad_right(prompts, model.pad_id, model.device)
        self._encoded = model.hidden(ids_BT, self._mask)
        start = model.inner.config.decoder_start_token_id
        self._ids = torch.full((len(prompts), 1), start, device=model.device)
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())

    def room(self, prompt_length: int) -> int:
        return self._model.context

    def next_logits(self) -> Tensor:
        from transformers.modeling_outputs import BaseModelOutput

        output = self._model.module(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._encoded),
            attention_mask=self._mask,
            decoder_input_ids=self._ids,
            past_key_values=self._cache,
            use_cache=True,
        )
        logits_BV: Tensor = output.logits[:, -1]
        return logits_BV

    def read(self, tokens_B: Tensor) -> None:
        self._ids = tokens_B[:, None]

    def keep(self, places: Tensor) -> None:
        self._mask, self._encoded = self._mask[places], self._encoded[places]
        self._cache.batch_select_indices(places)
