"""Texts to vectors, by any base: what `records.Embedder` promises.

Tensors: N texts, B of a batch, T tokens, D hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize

from tunesmith.models.inference.batching import by_length, pad_right
from tunesmith.models.load import Model, open_model
from tunesmith.models.roles.opening import to_fastest

TOKENS = 4096
"""Tokens of a batch, padding included."""


class TextEmbedder:
    """The mean of a model's last hidden states over a text's tokens, scaled to length one (Reimers and Gurevych 2019).

    A text longer than the model's context is read as far as it goes. One without tokens is a vector of equal numbers.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        model.train(False)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """[N, D], each row of length one."""
        width = int(self.model.inner.config.get_text_config().hidden_size)
        found_ND = np.full((len(texts), width), width**-0.5, np.float32)
        ids = self._ids(texts)
        filled = [row for row in range(len(texts)) if ids[row]]
        for rows in batches([len(ids[row]) for row in filled]):
            ids_BT, mask_BT = pad_right([ids[filled[row]] for row in rows], self.model.pad_id, self.model.device)
            real_BT1 = mask_BT.unsqueeze(-1)
            # Padded places mean nothing, and may hold anything.
            hidden_BTD = self.model.hidden(ids_BT, mask_BT).float().masked_fill(real_BT1 == 0, 0.0)
            mean_BD = hidden_BTD.sum(dim=1) / real_BT1.sum(dim=1)
            found_ND[[filled[row] for row in rows]] = normalize(mean_BD, dim=1).cpu().numpy()
        return found_ND

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        read = self.model.tokenizer(list(texts), truncation=True, max_length=self.model.context, padding=False)
        ids: list[list[int]] = read["input_ids"]
        return ids


def open_embedder(reference: str, *, workspace: Path, revision: str | None = None) -> TextEmbedder:
    """Opens any base, or what a run trained, as an embedder.

    Args:
        reference: `bundled`, a folder, a hub id, or `run:NAME/N`.
        workspace: the folder that holds `runs/`; relative folders are looked up there.
        revision: a hub branch, tag or commit.

    Raises:
        ModelError: there is no such model, or it cannot be opened.
    """
    # With a head for classes, which is not used, encoders without a language head open too.
    model = open_model(reference, workspace=workspace, revision=revision, head="classify", labels=("unused",))
    to_fastest(model)
    return TextEmbedder(model)


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Rows of similar length, as many as `TOKENS` hold."""
    found: list[list[int]] = []
    for (row,) in by_length(lengths, 1):
        if found and lengths[found[-1][0]] * (len(found[-1]) + 1) <= TOKENS:
            found[-1].append(row)
        else:
            found.append([row])
    return found
