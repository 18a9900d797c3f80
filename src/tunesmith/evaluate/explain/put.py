"""Rows as a model reads them, with the answer that is explained and what the model makes of it.

What is explained is one number a row. Of a classification head it is the log-odds of the label it gives (of several
labels a row: of the likeliest). Of a model that chooses among labels it is how much likelier it finds the label it
gives than the next one, and of one that writes the likelihood of its answer; all in nats.

Tensors: B rows, T tokens of a row, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunesmith.data.methods.augmenting.target import said
from tunesmith.evaluate.predict.surprise import answer_ids
from tunesmith.models.inference.batching import by_length, pad_right
from tunesmith.models.inference.score import nll_of_tokens
from tunesmith.records import Message, Prediction, Record

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Codec
    from tunesmith.models.model import Model

NOWHERE = -1
"""Stands for the place of a token that is none of the question's."""


@dataclass(frozen=True)
class Answer:
    """What is explained of a row."""

    column: int | None = None
    """The class of a head; None where the model writes."""
    written: tuple[tuple[int, ...], ...] = ()
    """Token ids of the answer, and of the one it is held against where there is one."""


@dataclass(frozen=True)
class Put:
    """A row as it is read."""

    ids: tuple[int, ...]
    places: NDArray[np.int64]
    """[T, 2]: the characters of the question that each token stands for; -1 where it stands for none."""
    answer: Answer

    @property
    def free(self) -> NDArray[np.bool_]:
        """[T]: the tokens of the question."""
        return self.places[:, 0] >= 0


def answer_of(codec: Codec, given: Prediction) -> Answer:
    """What is explained of a prediction.

    Args:
        codec: of the model.
        given: what the model says of a row.
    """
    ranked = sorted(given.scores, key=lambda label: -given.scores[label])
    if codec.need == "label":
        return Answer(column=codec.labels.index(ranked[0]))
    named = ranked[:2] if ranked else [given.output]
    return Answer(written=tuple(tuple(_spelled(codec, answer)) for answer in named))


def put(codec: Codec, record: Record, asked: Record, answer: Answer) -> Put | None:
    """A row as it is read; None where nothing is left to read.

    Args:
        codec: of the model.
        record: as the data hold it.
        asked: as it is put to the model.
        answer: what is explained.
    """
    room = max(map(len, answer.written), default=0) if codec.family == "causal" else 0
    ids = codec.prompt_ids(asked, room=room)
    if not ids:
        return None
    words = codec.tokens_of(said(record))
    return Put(tuple(ids), _aligned(ids, words.ids.tolist(), words.offsets), answer)


def scores(model: Model, puts: Sequence[Put], *, batch: int) -> NDArray[np.float64]:
    """[N]: what is explained, of each row."""
    model.train(False)
    found = np.zeros(len(puts))
    with torch.inference_mode():
        for rows in by_length([len(each.ids) for each in puts], batch):
            totals_B = [
                sign * score(model, [replace(puts[row], answer=_alone(puts[row].answer, part)) for row in rows])
                for part, sign in enumerate(signs(puts[rows[0]].answer))
            ]
            found[rows] = torch.stack(totals_B).sum(dim=0).double().cpu().numpy()
    return found


def score(model: Model, puts: Sequence[Put]) -> Tensor:
    """[B]: what one batch comes to, of a single answer each; gradients pass through it."""
    ids = [each.ids for each in puts]
    if model.head is None:
        nll_BT, asked_BT = nll_of_tokens(model, ids, [each.answer.written[0] for each in puts])
        return -(nll_BT * asked_BT).sum(dim=1)
    logits_BC = model.logits(*pad_right(ids, model.pad_id, model.device)).float()
    columns_B1 = torch.tensor([[each.answer.column] for each in puts], device=logits_BC.device)
    given_B = logits_BC.gather(1, columns_B1)[:, 0]
    if model.multi_label:
        return given_B
    return given_B - logits_BC.scatter(1, columns_B1, -torch.inf).logsumexp(dim=1)


def parts(each: Put) -> Iterator[tuple[int, Put]]:
    """(sign, the row with one answer): what is explained is their signed sum."""
    for part, sign in enumerate(signs(each.answer)):
        yield sign, replace(each, answer=_alone(each.answer, part))


def signs(answer: Answer) -> tuple[int, ...]:
    """How each of the answers counts: the one that is explained, less the one it is held against."""
    return (1, -1)[: max(1, len(answer.written))]


def _alone(answer: Answer, part: int) -> Answer:
    return replace(answer, written=answer.written[part : part + 1])


def _spelled(codec: Codec, answer: str) -> list[int]:
    turns = (Message("user", "?"), Message("assistant", answer, trained=True))
    return answer_ids(codec, Record(id="", source="", messages=turns))


def _aligned(ids: Sequence[int], words: Sequence[int], offsets: Any) -> NDArray[np.int64]:
    """[T, 2]: where in the question the tokens of a row stand, found by the tokens of the question alone.

    Where the two differ, as at the question's ends, tokens stand together for the same characters.
    """
    places = np.full((len(ids), 2), NOWHERE, dtype=np.int64)
    for kind, start, end, first, last in SequenceMatcher(None, ids, words, autojunk=False).get_opcodes():
        if kind == "equal":
            places[start:end] = offsets[first:last]
        elif kind == "replace":
            count = min(end - start, last - first)
            # In front of the question stands what asks it, and behind it what ends it.
            some = slice(end - count, end) if first == 0 else slice(start, start + count)
            places[some] = (offsets[first, 0], offsets[last - 1, 1])
    return places
