"""Models that find labelled stretches: a run's, or a token classifier of transformers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from tunesmith.errors import ModelError
from tunesmith.models.families import context_of, read_config
from tunesmith.models.inference.batching import by_length, pad_right
from tunesmith.models.inference.score import tag
from tunesmith.models.load import open_model
from tunesmith.models.references import locate, weight_files
from tunesmith.models.roles.codec import Codec, MakeCodec
from tunesmith.models.roles.limits import longest_row
from tunesmith.models.roles.opening import open_whole, to_fastest
from tunesmith.models.roles.pieces import pieces
from tunesmith.models.save import read_card
from tunesmith.models.tokenizer import choose_pad_id, read_tokenizer
from tunesmith.records import Record, Span, Tagger

_WORD = re.compile(r"\w+|[^\w\s]")


def open_tagger(reference: str, *, workspace: Path, codec: MakeCodec, batch: int = 32) -> Tagger:
    """Opens a tagger, by what its folder holds.

    Args:
        reference: `run:NAME/N`, a folder or a hub id.
        workspace: the folder that holds `runs/`.
        codec: makes the codec of a run's tokenizer.
        batch: texts computed at once.

    Raises:
        ModelError: it cannot be opened, or finds no stretches.
    """
    folder = locate(reference, workspace=workspace).folder
    if read_card(folder).get("head") == "tag":
        return RunTagger(reference, workspace=workspace, codec=codec, batch=batch)
    said = (getattr(read_config(folder), "architectures", None) or [""])[0]
    if said.endswith("ForTokenClassification"):
        return TokenTagger(folder, batch=batch)
    raise ModelError(
        "the model finds no stretches",
        where=reference,
        fix="name a run that was trained with the objective tag, or a token classification model of transformers",
    )


class RunTagger:
    """A model that a run trained with the objective `tag`; texts longer than it reads are read in pieces."""

    def __init__(self, reference: str, *, workspace: Path, codec: MakeCodec, batch: int = 32) -> None:
        self.model, self.batch = open_model(reference, workspace=workspace), batch
        to_fastest(self.model)
        names = [name.removeprefix("B-") for name in self.model.labels if name.startswith("B-")]
        longest = longest_row(reference, workspace, self.model.context)
        self._whole = self._codec(codec, names, longest)
        self._strict = self._codec(codec, names, longest, too_long="drop")
        assert self._whole.tag_names == self.model.labels, "a run's head has the codec's tags"

    def _codec(self, codec: MakeCodec, names: Sequence[str], longest: int, too_long: str = "truncate") -> Codec:
        return codec(
            self.model.tokenizer,
            need="spans",
            family=self.model.family,
            max_length=longest,
            too_long=too_long,
            labels=names,
        )

    def spans(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """The stretches of each text, by their characters."""
        parts = [
            (number, start, Record("", "", text=piece, spans=()))
            for number, text in enumerate(texts)
            for start, piece in pieces(text, self._fits)
        ]
        found = self._whole.encode_many([record for _, _, record in parts])
        tags = tag(self.model, found.examples, batch=self.batch) if found.examples else []
        spans: list[list[Span]] = [[] for _ in texts]
        for place, tags_T in zip(found.places, tags, strict=True):
            number, start, record = parts[place]
            spans[number] += _moved(self._whole.spans_of(record, tags_T.tolist()), start)
        return [tuple(each) for each in spans]

    def _fits(self, text: str) -> bool:
        found = self._strict.encode_many([Record("", "", text=text, spans=())])
        return bool(found.examples) or not text.strip()


def _no_tagger(what: str, folder: Path) -> ModelError:
    return ModelError(
        f"the model cannot be opened: {what}",
        where=str(folder),
        fix="fetch the folder again; config.json and weights must belong together",
    )


class TokenTagger:
    """A token classification model of transformers, its tags as `B-PER`, `I-PER` or plain `PER`; the first token of a
    word decides for all of it. Texts longer than it reads are read in pieces.

    Args:
        folder: of the model, in safetensors, with a fast tokenizer.
        batch: texts computed at once.
    """

    def __init__(self, folder: Path, *, batch: int = 32) -> None:
        from transformers import AutoModelForTokenClassification

        config = read_config(folder)
        weight_files(folder)
        self.tokenizer, self.batch = read_tokenizer(folder), batch
        self.model = open_whole(AutoModelForTokenClassification, folder, config, lambda what: _no_tagger(what, folder))
        self._room: int = context_of(config, self.tokenizer.model_max_length) - len(self.tokenizer("")["input_ids"])
        self._pad_id = choose_pad_id(self.tokenizer, config.pad_token_id, config.vocab_size)[0]

    @torch.inference_mode()
    def spans(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """The stretches of each text, by their characters."""
        parts = [
            (number, start, piece)
            for number, text in enumerate(texts)
            for start, piece in pieces(text, self._fits)
            if piece.strip()
        ]
        read = [self.tokenizer(piece, return_offsets_mapping=True, verbose=False) for _, _, piece in parts]
        found: list[list[Span]] = [[] for _ in parts]
        for rows in by_length([len(each["input_ids"]) for each in read], self.batch):
            ids_BT, mask_BT = pad_right([read[row]["input_ids"] for row in rows], self._pad_id, self.model.device)
            best_BT = self.model(input_ids=ids_BT, attention_mask=mask_BT).logits.argmax(dim=-1).tolist()
            for row, best_T in zip(rows, best_BT, strict=True):
                names = [self.model.config.id2label[number] for number in best_T]
                found[row] = _stretches(parts[row][2], read[row]["offset_mapping"], names)
        spans: list[list[Span]] = [[] for _ in texts]
        for (number, start, _), own in zip(parts, found, strict=True):
            spans[number] += _moved(own, start)
        return [tuple(each) for each in spans]

    def _fits(self, text: str) -> bool:
        return len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) <= self._room


def _stretches(text: str, offsets: Sequence[tuple[int, int]], names: Sequence[str]) -> list[Span]:
    """What the tags of the first tokens of words name; an `I-` that continues nothing begins a stretch."""
    firsts: dict[int, str] = {}
    for (start, end), name in zip(offsets, names, strict=False):
        said = text[start:end]  # byte-level tokens begin with a blank
        if said.strip():
            firsts.setdefault(start + len(said) - len(said.lstrip()), name)
    spans: list[Span] = []
    before = "O"
    for word in _WORD.finditer(text):
        name = firsts.get(word.start(), "O")
        prefix, _, label = name.partition("-") if name[1:2] == "-" else ("I", "", name)
        if name == "O":
            before = "O"
            continue
        if prefix == "I" and spans and before == label:
            spans[-1] = Span(spans[-1].start, word.end(), label)
        else:
            spans.append(Span(word.start(), word.end(), label))
        before = label
    return spans


def _moved(spans: Sequence[Span], by: int) -> list[Span]:
    return [Span(span.start + by, span.end + by, span.label) for span in spans]
