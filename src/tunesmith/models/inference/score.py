"""How likely a model finds answers, and what its classification and tagging heads say.

Tensors: B rows, T tokens, V vocabulary, N rows of all, C classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tunesmith.models.inference.batching import by_length, check_prompts, nobody, pad_right
from tunesmith.models.model import Model


class Encoded(Protocol):
    """Anything with token ids, such as `tunesmith.data.encode.tokenize.Example`."""

    @property
    def ids(self) -> np.ndarray: ...


@torch.inference_mode()
def score(
    model: Model,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    *,
    batch: int,
    after: Callable[[int], None] = nobody,
) -> list[float]:
    """The negative log-likelihood of each answer given its prompt, summed over the answer's tokens, in nats.

    Args:
        model: with its own language head.
        prompts: token ids; not empty.
        answers: token ids; what the prompt is followed by, or what the decoder says.
        batch: rows computed at once.
        after: called with the number of rows done so far.

    Raises:
        ModelError: the model has no language head, or a prompt is empty or too long.
    """
    return [float(values.sum()) for values in score_tokens(model, prompts, answers, batch=batch, after=after)]


@torch.inference_mode()
def score_tokens(
    model: Model,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    *,
    batch: int,
    after: Callable[[int], None] = nobody,
) -> list[np.ndarray]:
    """As `score`, token by token: [S] nats of each answer of S tokens."""
    lengths = [len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True)]
    check_prompts(model, prompts, lengths)
    model.train(False)
    nll: list[np.ndarray] = [np.zeros(0)] * len(prompts)
    done = 0
    for rows in by_length(lengths, batch):
        loss_BT, asked_BT = nll_of_tokens(model, [prompts[row] for row in rows], [answers[row] for row in rows])
        for row, loss_T, asked_T in zip(rows, loss_BT.cpu(), asked_BT.bool().cpu(), strict=True):
            nll[row] = loss_T[asked_T].double().numpy()
        done += len(rows)
        after(done)
    return nll


def nll_of_tokens(
    model: Model, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """The nll [B, T] of every token of one batch, and which of them are asked for; gradients pass through it."""
    if model.family == "causal":
        whole = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
        ids_BT, mask_BT = pad_right(whole, model.pad_id, model.device)
        starts_B1 = torch.tensor([[len(prompt)] for prompt in prompts], device=model.device)
        columns_T = torch.arange(ids_BT.shape[1], device=model.device)
        # Position t predicts token t + 1, so answers are predicted from the last prompt token on.
        logits_BTV = model.logits(ids_BT, mask_BT)[:, :-1]
        asked_BT = ((columns_T >= starts_B1) & mask_BT.bool())[:, 1:]
        targets_BT = ids_BT[:, 1:]
    else:
        ids_BT, mask_BT = pad_right(prompts, model.pad_id, model.device)
        targets_BT, asked_BT = pad_right(answers, model.pad_id, model.device)
        logits_BTV = model.logits(ids_BT, mask_BT, targets_BT)
    loss_BT = cross_entropy(logits_BTV.float().transpose(1, 2), targets_BT, reduction="none")
    return loss_BT, asked_BT


@torch.inference_mode()
def classify(
    model: Model, examples: Sequence[Encoded], *, batch: int, after: Callable[[int], None] = nobody
) -> tuple[np.ndarray, np.ndarray]:
    """What a classification head says.

    Args:
        model: with a classify head.
        examples: token ids.
        batch: rows computed at once.
        after: called with the number of rows done so far.

    Returns:
        Probabilities [N, C], which sum to one unless the model is multi-label, and seconds [N].
    """
    probabilities_NC = np.zeros((len(examples), len(model.labels)))
    seconds_N = np.zeros(len(examples))
    for rows, logits_BC, seconds in _head_outputs(model, examples, batch, after):
        scores_BC = logits_BC.sigmoid() if model.multi_label else logits_BC.softmax(dim=-1)
        probabilities_NC[rows] = scores_BC.cpu().numpy()
        seconds_N[rows] = seconds
    return probabilities_NC, seconds_N


@torch.inference_mode()
def tag(
    model: Model, examples: Sequence[Encoded], *, batch: int, after: Callable[[int], None] = nobody
) -> list[np.ndarray]:
    """What a tagging head says: the most likely tag [T] of each token of each example.

    Args:
        model: with a tag head.
        examples: token ids.
        batch: rows computed at once.
        after: called with the number of rows done so far.
    """
    tags: list[np.ndarray] = [np.zeros(0, np.int64)] * len(examples)
    for rows, logits_BTC, _ in _head_outputs(model, examples, batch, after):
        best_BT = logits_BTC.argmax(dim=-1).cpu().numpy()
        for place, row in enumerate(rows):
            tags[row] = best_BT[place, : len(examples[row].ids)]
    return tags


@torch.inference_mode()
def tag_nll(
    model: Model,
    examples: Sequence[Encoded],
    tags: Sequence[np.ndarray],
    *,
    batch: int,
    after: Callable[[int], None] = nobody,
) -> list[np.ndarray]:
    """The negative log-likelihood, in nats, of each tag that is asked for.

    Args:
        model: with a tag head.
        examples: token ids.
        tags: index of the right tag of each token [T]; below 0 where none is asked.
        batch: rows computed at once.
        after: called with the number of rows done so far.
    """
    nll: list[np.ndarray] = [np.zeros(0)] * len(examples)
    for rows, logits_BTC, _ in _head_outputs(model, examples, batch, after):
        for row, logits_TC in zip(rows, logits_BTC.cpu(), strict=True):
            targets_T = torch.from_numpy(tags[row].astype(np.int64))
            asked_T = targets_T >= 0
            found = cross_entropy(logits_TC[: len(targets_T)][asked_T], targets_T[asked_T], reduction="none")
            nll[row] = found.double().numpy()
    return nll


def _head_outputs(
    model: Model, examples: Sequence[Encoded], batch: int, after: Callable[[int], None]
) -> Iterator[tuple[list[int], Tensor, float]]:
    """(rows, logits of the head, seconds each row took) of one batch after the other."""
    assert model.head is not None, "a head of ours is needed"
    model.train(False)
    done = 0
    for rows in by_length([len(example.ids) for example in examples], batch):
        began = time.perf_counter()
        ids_BT, mask_BT = pad_right([examples[row].ids.tolist() for row in rows], model.pad_id, model.device)
        logits = model.logits(ids_BT, mask_BT).float()
        yield rows, logits, (time.perf_counter() - began) / len(rows)
        done += len(rows)
        after(done)
