"""Decoding over padded rows with transformers' own caches: for every architecture, and for encoder-decoders.

Rows begin together and end one by one.

Tensors: B rows, T prompt tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tunesmith.models.inference.batching import accepted, pad_left, pad_right
from tunesmith.models.model import Model


class PaddedCausal:
    """Prompts padded on the left, so that all rows end in the same column."""

    refills = False

    def __init__(self, model: Model) -> None:
        self._model = model

    def begin(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Logits [B, V] of what follows each prompt; no row may be there."""
        from transformers import DynamicCache

        ids_BT, self._mask = pad_left(prompts, self._model.pad_id, self._model.device)
        self._cache = DynamicCache(config=self._model.inner.config)
        return self._logits(ids_BT)

    def advance(self, tokens: Sequence[int]) -> Tensor:
        """Logits [B, V] of what follows one more token of every row."""
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)
        return self._logits(torch.tensor(tokens, device=self._model.device)[:, None])

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with these rows only, in this order."""
        kept = torch.tensor(rows, dtype=torch.long, device=self._model.device)
        self._mask = self._mask[kept]
        self._cache.batch_select_indices(kept)

    def _logits(self, ids_BT: Tensor) -> Tensor:
        positions_BT = (self._mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids_BT.shape[1] :]
        output = self._model.module(
            input_ids=ids_BT,
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
            **accepted(self._model, position_ids=positions_BT, logits_to_keep=1),
        )
        logits_BV: Tensor = output.logits[:, -1]
        return logits_BV


class PaddedDecoder:
    """Prompts read once by the encoder, padded on the right; answers start together."""

    refills = False

    def __init__(self, model: Model) -> None:
        self._model = model

    def begin(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Logits [B, V] of the first token after the decoder's start; no row may be there."""
        from transformers import DynamicCache, EncoderDecoderCache

        ids_BT, self._mask = pad_right(prompts, self._model.pad_id, self._model.device)
        self._encoded = self._model.hidden(ids_BT, self._mask)
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        return self.advance([self._model.inner.config.decoder_start_token_id] * len(prompts))

    def advance(self, tokens: Sequence[int]) -> Tensor:
        """Logits [B, V] of what follows one more token of every row."""
        from transformers.modeling_outputs import BaseModelOutput

        output = self._model.module(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._encoded),
            attention_mask=self._mask,
            decoder_input_ids=torch.tensor(tokens, device=self._model.device)[:, None],
            past_key_values=self._cache,
            use_cache=True,
        )
        logits_BV: Tensor = output.logits[:, -1]
        return logits_BV

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with these rows only, in this order."""
        kept = torch.tensor(rows, dtype=torch.long, device=self._model.device)
        self._mask, self._encoded = self._mask[kept], self._encoded[kept]
        self._cache.batch_select_indices(kept)
