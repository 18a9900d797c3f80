"""How surprised a model is by what it should say: the nll of every trained token of a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.records import Record

if TYPE_CHECKING:
    from tunesmith.data.tokenize import Codec, Example
    from tunesmith.models.load import Model

Asked = tuple[list[int], list[int]]
"""What is read before, and the tokens then expected."""

_BATCHES_AT_ONCE = 8
"""Between two words on how far things are; enough rows to sort by length."""


def surprises(
    model: Model, codec: Codec, records: Sequence[Record], *, batch: int, after: Callable[[int], None]
) -> list[tuple[float | None, int, int]]:
    """(nll in nats, its tokens, the characters they spell) of each record, over all of its trained tokens.

    The nll is None where nothing is trained.
    """
    from tunesmith.models.generate import score

    found: list[tuple[float | None, int, int]] = []
    for start in range(0, len(records), batch * _BATCHES_AT_ONCE):
        some = records[start : start + batch * _BATCHES_AT_ONCE]
        asked = [[part for example in codec.encode(record) for part in parts(example)] for record in some]
        every = [part for of_record in asked for part in of_record]
        nats = iter(score(model, [before for before, _ in every], [then for _, then in every], batch=batch))
        for of_record in asked:
            total = sum(next(nats) for _ in of_record)
            num_tokens = sum(len(then) for _, then in of_record)
            num_chars = sum(len(model.tokenizer.decode(then, skip_special_tokens=True)) for _, then in of_record)
            found.append((total if of_record else None, num_tokens, num_chars))
        after(start + len(some))
    return found


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
