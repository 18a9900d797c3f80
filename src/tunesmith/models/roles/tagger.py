"""Models that find labelled stretches: a run's, or a token classifier of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tunesmith.errors import ModelError
from tunesmith.models.families import context_of, read_config
from tunesmith.models.inference.score import tag
from tunesmith.models.load import open_model
from tunesmith.models.quiet import quiet
from tunesmith.models.references import locate, weight_files
from tunesmith.models.roles.codec import Codec, MakeCodec
from tunesmith.models.roles.device import to_fastest
from tunesmith.models.roles.limits import longest_row
from tunesmith.models.roles.pieces import pieces
from tunesmith.models.save import read_card
from tunesmith.models.tokenizer import read_tokenizer
from tunesmith.records import Record, Span, Tagger


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


class TokenTagger:
    """A token classification model of transformers, its tags as `B-PER`, `I-PER` or plain `PER`; the first token of a
    word decides for all of it. Texts longer than it reads are read in pieces.

    Args:
        folder: of the model, in safetensors.
        batch: texts computed at once.
    """

    def __init__(self, folder: Path, *, batch: int = 32) -> None:
        from transformers import AutoModelForTokenClassification, TokenClassificationPipeline

        config = read_config(folder)
        weight_files(folder)
        self.tokenizer, self.batch = read_tokenizer(folder), batch
        with quiet():
            try:
                model, said = AutoModelForTokenClassification.from_pretrained(
                    folder,
                    config=config,
                    dtype=torch.float32,
                    use_safetensors=True,
                    local_files_only=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                )
            except (ValueError, RuntimeError, TypeError, KeyError, OSError) as error:
                raise ModelError(
                    f"the model cannot be opened: {(str(error).strip() or type(error).__name__).splitlines()[0]}",
                    where=str(folder),
                    fix="fetch the folder again; config.json and weights must belong together",
                ) from error
        if said["missing_keys"]:
            raise ModelError(
                f"the weights lack {sorted(said['missing_keys'])[0]}", where=str(folder), fix="fetch the folder again"
            )
        to_fastest(model)
        limit = context_of(config, self.tokenizer.model_max_length)
        self._room: int = limit - self.tokenizer.num_special_tokens_to_add()
        with quiet():
            self._pipeline: Any = TokenClassificationPipeline(
                model=model.eval(), tokenizer=self.tokenizer, aggregation_strategy="first", device=model.device
            )

    def spans(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """The stretches of each text, by their characters."""
        parts = [
            (number, start, piece)
            for number, text in enumerate(texts)
            for start, piece in pieces(text, self._fits)
            if piece.strip()
        ]
        spans: list[list[Span]] = [[] for _ in texts]
        answers = self._pipeline([piece for _, _, piece in parts], batch_size=self.batch) if parts else []
        for (number, start, piece), answer in zip(parts, answers, strict=True):
            found = (Span(each["start"], each["end"], each["entity_group"]) for each in answer)
            spans[number] += _moved([_trimmed(span, piece) for span in found], start)
        return [tuple(each) for each in spans]

    def _fits(self, text: str) -> bool:
        return len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) <= self._room


def _moved(spans: Sequence[Span], by: int) -> list[Span]:
    return [Span(span.start + by, span.end + by, span.label) for span in spans]


def _trimmed(span: Span, text: str) -> Span:
    """Without blanks at its ends: byte-level tokens begin with one."""
    said = text[span.start : span.end]
    start = span.start + len(said) - len(said.lstrip())
    return Span(start, start + len(said.strip()), span.label)
