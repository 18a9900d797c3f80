"""How surprised a model is by what it should say: the nll of every trained token of a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.records import Record

if TYPE_CHECKING:
    from tunesmith.data.encode.example import Example
    from tunesmith.data.encode.tokenize import Codec
    from tunesmith.models.load import Model

Asked = tuple[list[int], list[int]]
"""What is read before, and the tokens then expected."""


def surprises(
    model: Model, codec: Codec, records: Sequence[Record], *, batch: int, after: Callable[[int], None]
) -> list[tuple[float | None, int, int]]:
    """(nll in nats, its tokens, the characters they spell) of each record, over all of its trained tokens.

    The nll is None where nothing is trained.
    """
    from tunesmith.models.inference.score import score

    asked = [[part for example in codec.encode(record) for part in parts(example)] for record in records]
    every = [part for of_record in asked for part in of_record]
    nats = score(
        model,
        [before for before, _ in every],
        [then for _, then in every],
        batch=batch,
        after=lambda done: after(done * len(records) // len(every)),
    )
    rest = iter(nats)
    return [
        (
            sum(next(rest) for _ in of_record) if of_record else None,
            sum(len(then) for _, then in of_record),
            sum(len(model.tokenizer.decode(then, skip_special_tokens=True)) for _, then in of_record),
        )
        for of_record in asked
    ]


def parts(example: Example) -> list[Asked]:
    """The stretches of trained tokens, each with all that stands before it.

    The very first token of a text has nothing before it to be predicted from and is not asked for.
    """
    if example.answer_ids is not None:
        return [(example.ids.tolist(), example.answer_ids.tolist())]
    trained = np.concatenate([[False], example.trained[1:], [False]])
    starts = np.flatnonzero(~trained[:-1] & trained[1:]) + 1
    ends = np.flatnonzero(trained[:-1] & ~trained[1:]) + 1
    ids = example.ids.tolist()
    return [(ids[:start], ids[start:end]) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def answer_ids(codec: Codec, record: Record) -> list[int]:
    """The tokens of a record's last answer, its stop token included."""
    return parts(codec.encode(record)[0])[-1][1]
