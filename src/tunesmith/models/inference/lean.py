"""Decoding without padding: prompts are read as rows that lie one after another, then one token of every row at a time.

It is the model's own forward; only attention is ours, which keeps keys and values in `packing.kv_cache`. Whether an
architecture lets it in is measured, not listed: logits must be those of the plain computation.

Tensors: N tokens of all rows, B rows, T tokens of the longest, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from tunesmith.models.inference.batching import accepted, pad_right
from tunesmith.models.model import Model
from tunesmith.models.packing.kv_cache import Growth, KVCache
from tunesmith.models.packing.rows import PROBE, packs, run_rows

AT_ONCE = 2048
"""Tokens of prompts that are read together; a longer prompt is read alone."""

_SURE: WeakKeyDictionary[nn.Module, tuple[type, bool]] = WeakKeyDictionary()
"""Whether a model decodes so, and with an adapter of which sort that was found."""


class Lean:
    """Rows that a causal model answers; others may begin beside those that go on.

    Args:
        model: that decodes so (`decodes`).
        rows: how many there are at most.
    """

    refills = True

    def __init__(self, model: Model, rows: int) -> None:
        self._model = model
        self._cache = KVCache(rows, model.device)

    def begin(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Logits [B, V] of what follows each prompt; their rows stand behind those that are there."""
        return torch.cat([self._read(some) for some in _portions(prompts)])

    def advance(self, tokens: Sequence[int]) -> Tensor:
        """Logits [B, V] of what follows one more token of every row."""
        return self._logits(list(tokens), self._cache.advance())

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with these rows only, in this order; none may move to a higher place."""
        self._cache.keep(rows)

    def _read(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        growth = self._cache.begin([len(prompt) for prompt in prompts])
        ends_B = torch.tensor(growth.lengths, device=self._model.device).cumsum(0) - 1
        ids = [token for prompt in prompts for token in prompt]
        some = accepted(self._model, logits_to_keep=ends_B)
        logits_NV = self._logits(ids, growth, **some)
        return logits_NV if some else logits_NV[ends_B]

    def _logits(self, ids: list[int], growth: Growth, **settings: Any) -> Tensor:
        ids_N = torch.tensor(ids, device=self._model.device)
        logits_NV: Tensor = run_rows(self._model, self._model.module, ids_N, growth, **settings).logits[0]
        return logits_NV


def decodes(model: Model) -> bool:
    """Whether a model's answers are decoded so. Measured once a model; says so in its notes where not."""
    if model.family != "causal" or not packs(model):
        return False
    sort = type(model.adapter)
    if _SURE.get(model.inner, (None, False))[0] is not sort:
        _SURE[model.inner] = sort, _agrees(model)
        if not _SURE[model.inner][1]:
            kind = model.inner.config.model_type
            model.notes.append(f"answers are decoded over padded rows: {kind} models do not take keys of our keeping")
    return _SURE[model.inner][1]


def _portions(prompts: Sequence[Sequence[int]]) -> Iterator[Sequence[Sequence[int]]]:
    """Prompts in their order, as many together as `AT_ONCE` allows."""
    start, held = 0, 0
    for end, prompt in enumerate(prompts):
        if held + len(prompt) > AT_ONCE and end > start:
            yield prompts[start:end]
            start, held = end, 0
        held += len(prompt)
    yield prompts[start:]


@torch.inference_mode()
def _agrees(model: Model) -> bool:
    """Reads short prompts, says two tokens more, loses a row and says another; are those the plain logits?"""
    words = model.inner.config.get_text_config().vocab_size
    rows = [[(row * 13 + place * 7) % words for place in range(length + 3)] for row, length in enumerate(PROBE)]
    plain_BTV = model.logits(*pad_right(rows, model.pad_id, model.device)).float()
    try:
        lean = Lean(model, len(rows))
        found = [lean.begin([row[:-3] for row in rows])]
        found += [lean.advance([row[place] for row in rows]) for place in (-3, -2)]
        lean.keep([2, 1])
        found.append(lean.advance([rows[2][-1], rows[1][-1]]))
    except Exception:  # whatever an architecture has against it, padding remains
        return False
    expected = [
        plain_BTV[row, len(rows[row]) - 4 + step] for step in range(4) for row in ((2, 1) if step == 3 else (0, 1, 2))
    ]
    off = (torch.cat(found).float() - torch.stack(expected)).abs().max()
    tolerance = 1e-4 if next(model.module.parameters()).dtype == torch.float32 else 3e-2
    return bool(off <= tolerance * plain_BTV.abs().max())
