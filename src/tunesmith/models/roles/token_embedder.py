"""Texts to a vector for each token, by any base: what `records.TokenEmbedder` promises.

Tensors: B of a batch, T tokens, D hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tunesmith.errors import UserError
from tunesmith.models.inference.batching import pad_right
from tunesmith.models.load import Model, open_model
from tunesmith.models.roles.embedder import batches
from tunesmith.models.roles.opening import to_fastest

Tokens = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


class LocalTokenEmbedder:
    """The hidden states of one layer. A text longer than the model's context is read as far as it goes.

    Tokenizers that mark a word by the blank before it read texts as if they began with one, as bert-score does.
    """

    def __init__(self, model: Model, reference: str) -> None:
        self.model, self.reference = model, reference
        model.train(False)

    @torch.inference_mode()
    def embed_tokens(self, texts: Sequence[str], layer: int | None = None) -> list[Tokens]:
        """(token ids [T], vectors [T, D]) of each text, special tokens included.

        Raises:
            UserError: the model has no such layer.
        """
        most = int(self.model.inner.config.get_text_config().num_hidden_layers)
        if layer is not None and not 0 <= layer <= most:
            raise UserError(
                f"there is no layer {layer}", where=self.reference, fix=f"name one of its layers, 0 to {most}"
            )
        ids = self._ids(texts)
        width = int(self.model.inner.config.get_text_config().hidden_size)
        found: list[Tokens] = [(np.array(row, np.int64), np.empty((len(row), width), np.float32)) for row in ids]
        filled = [row for row in range(len(ids)) if ids[row]]
        for rows in batches([len(ids[row]) for row in filled]):
            ids_BT, mask_BT = pad_right([ids[filled[row]] for row in rows], self.model.pad_id, self.model.device)
            hidden_BTD = self.model.hidden(ids_BT, mask_BT, layer).float().cpu().numpy()
            for row, hidden_TD in zip(rows, hidden_BTD, strict=True):
                found[filled[row]][1][:] = hidden_TD[: len(ids[filled[row]])]
        return found

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        tokenizer = self.model.tokenizer
        marks = tokenizer.convert_ids_to_tokens(tokenizer.encode("a a", add_special_tokens=False))[-1:] == ["Ġa"]
        read = tokenizer(
            [f" {stripped}" if (stripped := text.strip()) and marks else stripped for text in texts],
            truncation=True,
            max_length=self.model.context,
            padding=False,
        )
        ids: list[list[int]] = read["input_ids"]
        return ids


def open_token_embedder(reference: str, *, workspace: Path) -> LocalTokenEmbedder:
    """Opens any base, or what a run trained.

    Args:
        reference: `bundled`, a folder, a hub id, or `run:NAME/N`.
        workspace: the folder that holds `runs/`; relative folders are looked up there.

    Raises:
        ModelError: there is no such model, or it cannot be opened.
    """
    # With a head for classes, which is not used, encoders without a language head open too.
    model = open_model(reference, workspace=workspace, head="classify", labels=("unused",))
    to_fastest(model)
    return LocalTokenEmbedder(model, reference)
