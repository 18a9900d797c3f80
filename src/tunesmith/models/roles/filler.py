"""A masked language model that says which words could stand in a place.

Tensors: B places, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from tunesmith.errors import ModelError
from tunesmith.models.families import context_of, read_config
from tunesmith.models.inference.batching import by_length, pad_right
from tunesmith.models.references import locate, weight_files
from tunesmith.models.roles.opening import open_whole
from tunesmith.models.tokenizer import choose_pad_id, read_tokenizer

_AROUND = 100
"""Words read on each side of a place."""


class LocalFiller:
    """Fills places with whole words: those that are one token of the model.

    Args:
        reference: a folder or a hub id of a masked language model, in safetensors.
        workspace: what relative folders start from.
        batch: places computed at once.

    Raises:
        ModelError: it cannot be opened, or was not trained to fill masks.
    """

    def __init__(self, reference: str, *, workspace: Path, batch: int = 32) -> None:
        from transformers import AutoModelForMaskedLM

        folder = locate(reference, workspace=workspace).folder
        config = read_config(folder)
        weight_files(folder)
        self.tokenizer, self.batch = read_tokenizer(folder), batch
        if self.tokenizer.mask_token_id is None:
            raise _no_filler("its tokenizer has no mask token", reference)
        self.model = open_whole(AutoModelForMaskedLM, folder, config, lambda what: _no_filler(what, reference))
        self._context = context_of(config, self.tokenizer.model_max_length)
        self._pad_id = choose_pad_id(self.tokenizer, config.pad_token_id, config.vocab_size)[0]
        self._words = self._whole_words(config.vocab_size)

    @torch.inference_mode()
    def fill(self, words: Sequence[Sequence[str]], places: Sequence[int], count: int) -> list[list[tuple[str, float]]]:
        """For each list of words, the `count` likeliest whole words for its place, with probabilities, best first.

        A probability is the model's own, of all tokens that could stand there.
        """
        rows = [self._masked(said, place) for said, place in zip(words, places, strict=True)]
        found: list[list[tuple[str, float]]] = [[] for _ in rows]
        known_V = torch.tensor([word is not None for word in self._words], device=self.model.device)
        for batch in by_length([len(row) for row in rows], self.batch):
            ids_BT, mask_BT = pad_right([rows[row] for row in batch], self._pad_id, self.model.device)
            logits_BTV = self.model(input_ids=ids_BT, attention_mask=mask_BT).logits
            at_B = (ids_BT == self.tokenizer.mask_token_id).int().argmax(dim=1)
            logits_BV = logits_BTV[torch.arange(len(batch), device=ids_BT.device), at_B].float()
            shares_BV = logits_BV.softmax(dim=-1) * known_V
            best = shares_BV.topk(min(count, int(known_V.sum())), dim=-1)
            for row, values, tokens in zip(batch, best.values.tolist(), best.indices.tolist(), strict=True):
                found[row] = [(self._words[token] or "", value) for token, value in zip(tokens, values, strict=True)]
        return found

    def _masked(self, words: Sequence[str], place: int) -> list[int]:
        """The tokens of the words around a place, with a mask in it; fewer words where they do not fit."""
        around = _AROUND
        while True:
            before, after = words[max(0, place - around) : place], words[place + 1 : place + 1 + around]
            said = " ".join([*before, self.tokenizer.mask_token, *after])
            ids: list[int] = self.tokenizer(said, verbose=False)["input_ids"]
            if len(ids) <= self._context or around == 0:
                return ids
            around //= 2

    def _whole_words(self, vocabulary: int) -> list[str | None]:
        """Of each token the word that it is by itself; None for pieces of words, signs and special tokens."""
        tokens = self.tokenizer.convert_ids_to_tokens(list(range(min(vocabulary, len(self.tokenizer)))))
        # Either tokens that begin a word are marked, or those that go on with one.
        begins = next((mark for mark in ("Ġ", "▁") if sum(token.startswith(mark) for token in tokens) > 20), None)
        special = set(self.tokenizer.all_special_ids)
        found: list[str | None] = [None] * vocabulary
        for number, token in enumerate(tokens):
            whole = token.startswith(begins) if begins else not token.startswith("##")
            if whole and number not in special:
                word = self.tokenizer.decode([number]).strip()
                found[number] = word if word.isalnum() else None
        return found


def _no_filler(what: str, reference: str) -> ModelError:
    return ModelError(
        f"the model cannot fill places: {what}",
        where=reference,
        fix="name a masked language model, such as BERT, RoBERTa or ModernBERT with its masked head",
    )
