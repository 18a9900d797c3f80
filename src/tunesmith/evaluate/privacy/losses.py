"""What attacks on a model look at: its loss on every token, label or tag that a row would teach it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.evaluate.predict.surprise import parts
from tunesmith.metrics import Floats

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Codec
    from tunesmith.models.load import Model
    from tunesmith.records import Record

_LEAST = 1e-12
"""A probability below it is rounding."""


def losses_of(
    model: Model, codec: Codec, records: Sequence[Record], *, batch: int, after: Callable[[int, int], None]
) -> list[Floats]:
    """The nats of each record's targets: its trained tokens, its labels, its tags; empty for one left out.

    Args:
        model: with a language head, or a head of ours.
        codec: of what the model learned from.
        records: rendered as the codec needs them.
        batch: rows computed at once.
        after: told how much is done, and of how much.
    """
    from tunesmith.models.inference.score import classify, score_tokens, tag_nll

    encoded = codec.encode_many(records)
    places, total = encoded.places.tolist(), len(encoded.examples)
    found: list[list[Floats]] = [[] for _ in records]
    if model.head is None:
        asked = [(place, part) for place, row in zip(places, encoded.examples, strict=True) for part in parts(row)]
        places, total = [place for place, _ in asked], len(asked)
        made = score_tokens(
            model,
            [before for _, (before, _) in asked],
            [then for _, (_, then) in asked],
            batch=batch,
            after=lambda done: after(done, total),
        )
    elif model.head_kind == "tag":
        tags = [np.zeros(0) if row.tags is None else row.tags for row in encoded.examples]
        made = tag_nll(model, encoded.examples, tags, batch=batch, after=lambda done: after(done, total))
    else:
        sure_NC, _ = classify(model, encoded.examples, batch=batch, after=lambda done: after(done, total))
        made = [
            _of_labels(sure_C, list(row.label), several=model.multi_label)
            for sure_C, row in zip(sure_NC, encoded.examples, strict=True)
        ]
    for place, values in zip(places, made, strict=True):
        found[place].append(values)
    return [np.concatenate([np.zeros(0), *of_record]) for of_record in found]


def _of_labels(sure_C: Floats, right: list[int], *, several: bool) -> Floats:
    """The nats of the right label; where a row may have several, those of every label, given or not."""
    if not several:
        return -np.log(np.maximum(sure_C[right], _LEAST))
    given_C = np.isin(np.arange(len(sure_C)), right)
    return -np.log(np.maximum(np.where(given_C, sure_C, 1 - sure_C), _LEAST))
