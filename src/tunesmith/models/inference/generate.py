"""Answers, many at a time: finished rows leave at once, and prompts that wait take their places.

Tensors: B rows, V vocabulary.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from tunesmith.models.inference.batching import check_prompts, nobody
from tunesmith.models.inference.blocked import blocked
from tunesmith.models.inference.choices import score_choices
from tunesmith.models.inference.lean import Lean, decodes
from tunesmith.models.inference.padded import PaddedCausal, PaddedDecoder
from tunesmith.models.inference.sampling import Sampling
from tunesmith.models.inference.score import classify, score, tag
from tunesmith.models.model import Model

__all__ = ["Answer", "Sampling", "classify", "generate", "score", "score_choices", "tag"]

GREEDY = Sampling()


@dataclass(frozen=True)
class Answer:
    """What a model said."""

    text: str
    """Without the token that ended it, and without special tokens."""
    tokens: tuple[int, ...]
    """As they were generated, the one that ended it included."""
    finished: bool
    """Whether the model ended it; False when it ran into the limit."""
    seconds: float
    """From reading its prompt to its last token, in which other rows were answered beside it."""
    first: float = 0.0
    """From reading its prompt to its first token, in seconds; 0 where nothing was said."""

    @property
    def num_tokens(self) -> int:
        """Tokens generated, the one that ended it included."""
        return len(self.tokens)


@torch.inference_mode()
def generate(
    model: Model,
    prompts: Sequence[Sequence[int]],
    *,
    stop_ids: Sequence[int],
    max_new_tokens: int | Sequence[int],
    batch: int,
    sampling: Sampling = GREEDY,
    seeds: Sequence[int] | None = None,
    after: Callable[[int], None] = nobody,
) -> list[Answer]:
    """Answers each prompt, token by token.

    The answer to a prompt does not depend on the prompts beside it, neither the likeliest nor a drawn one; in low
    precision it may where two tokens are as good as equally likely.

    Args:
        model: with its own language head.
        prompts: token ids, generation prompt included.
        stop_ids: tokens that end an answer.
        max_new_tokens: the longest answer, of all prompts or of each; shorter where the model's context ends before.
        batch: prompts answered at once.
        sampling: how tokens are chosen.
        seeds: what the draws of each prompt start from; its number when left out.
        after: called with the number of prompts answered so far.

    Raises:
        ModelError: the model has no language head, or a prompt fills its whole context.
    """
    causal = model.family == "causal"
    check_prompts(model, prompts, [len(prompt) + causal for prompt in prompts])
    model.train(False)
    longest = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else max_new_tokens
    seeds = range(len(prompts)) if seeds is None else seeds
    rows = [
        _Row(prompt, min(limit, model.context - causal * len(prompt)), random.Random(seed))
        for prompt, limit, seed in zip(prompts, longest, seeds, strict=True)
    ]
    stops = frozenset(stop_ids)
    with blocked(model.module):
        _answer(
            _decoder(model, min(batch, len(rows))), [row for row in rows if row.limit], stops, batch, sampling, after
        )
    return [row.answer(model, stops) for row in rows]


@dataclass
class _Row:
    """A prompt and what has been said to it."""

    prompt: Sequence[int]
    limit: int
    draws: random.Random
    said: list[int] = field(default_factory=list)
    began: float = 0.0
    spoke: float = 0.0
    ended: float = 0.0

    def ends(self, stops: frozenset[int]) -> bool:
        return self.said[-1] in stops or len(self.said) == self.limit

    def answer(self, model: Model, stops: frozenset[int]) -> Answer:
        finished = bool(self.said) and self.said[-1] in stops
        spoken = self.said[:-1] if finished else self.said
        text = model.tokenizer.decode(spoken, skip_special_tokens=True)
        return Answer(text, tuple(self.said), finished, self.ended - self.began, self.spoke - self.began)


class _Decoder(Protocol):
    """The running state of rows that are answered."""

    refills: bool
    """Whether rows may begin while others go on."""

    def begin(self, prompts: Sequence[Sequence[int]]) -> Tensor: ...
    def advance(self, tokens: Sequence[int]) -> Tensor: ...
    def keep(self, rows: Sequence[int]) -> None: ...


def _decoder(model: Model, batch: int) -> _Decoder:
    if model.family == "encoder_decoder":
        return PaddedDecoder(model)
    return Lean(model, batch) if decodes(model) else PaddedCausal(model)


def _answer(
    decoder: _Decoder,
    rows: list[_Row],
    stops: frozenset[int],
    batch: int,
    sampling: Sampling,
    after: Callable[[int], None],
) -> None:
    """Says all answers, the longest prompts first: what does not fit in memory fails at once."""
    waiting = deque(sorted(rows, key=lambda row: -len(row.prompt)))
    running: list[_Row] = []  # in the decoder's order
    done = 0
    while waiting or running:
        # Prompts are read some together, since matrices of few rows are slow.
        if waiting and len(running) <= (batch * 3 // 4 if decoder.refills else 0):
            fresh = [waiting.popleft() for _ in range(min(batch - len(running), len(waiting)))]
            for row in fresh:
                row.began = time.perf_counter()
            running += fresh
            logits_BV = decoder.begin([row.prompt for row in fresh])
        else:
            fresh = running
            logits_BV = decoder.advance([row.said[-1] for row in running])
        tokens = sampling.choose(logits_BV, [row.draws.random() for row in fresh])
        for row, token in zip(fresh, tokens, strict=True):
            row.said.append(token)
            row.ended = time.perf_counter()
            row.spoke = row.spoke or row.ended
        going_on = _closed_up([not row.ends(stops) for row in running])
        if len(going_on) < len(running):
            done += len(running) - len(going_on)
            running = [running[place] for place in going_on]
            decoder.keep(going_on)
            after(done)


def _closed_up(stays: Sequence[bool]) -> list[int]:
    """Which rows stay, in an order in which they move as little as can be: those from the end fill the gaps."""
    count = sum(stays)
    last = [place for place in range(count, len(stays)) if stays[place]]
    return [place if stays[place] else last.pop() for place in range(count)]
