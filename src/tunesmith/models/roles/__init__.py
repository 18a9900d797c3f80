"""Models in a role: what data steps, judges and others ask, opened once, by reference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from tunesmith.errors import UserError
from tunesmith.models.references import locate, weights_digest
from tunesmith.models.roles.codec import MakeCodec
from tunesmith.models.roles.remote import RemoteResponder, is_remote
from tunesmith.models.save import read_card
from tunesmith.records import Classifier, Embedder, Filler, Responder, Tagger, TokenEmbedder

T = TypeVar("T")


class OpenModels:
    """Models by reference, opened when they are first asked for and kept.

    Args:
        workspace: the folder that holds `runs/`.
        folder: what other relative folders start from, that of the spec.
        codec: makes codecs, `data.encode.tokenize.Codec`.
        tokenizer: the base's, for counting tokens; None where there is none.
    """

    def __init__(self, *, workspace: Path, folder: Path, codec: MakeCodec, tokenizer: Any = None) -> None:
        self.workspace, self.folder = workspace, folder
        self._codec, self._tokenizer = codec, tokenizer
        self._open: dict[tuple[str, str], Any] = {}

    def responder(self, reference: str) -> Responder:
        """A local model, or the endpoint of `https://host/v1#model`."""
        from tunesmith.models.roles.responder import LocalResponder

        def make(place: str) -> Responder:
            if is_remote(place):
                return RemoteResponder(place)
            return LocalResponder(place, workspace=self.workspace, codec=self._codec)

        return self._once("responder", reference, make)

    def embedder(self, reference: str) -> Embedder:
        """A sentence encoder, or any encoder of transformers."""
        from tunesmith.models.roles.embedder import open_embedder

        return self._once("embedder", reference, lambda place: open_embedder(place, workspace=self.workspace))

    def token_embedder(self, reference: str) -> TokenEmbedder:
        """Any encoder of transformers, or any other base."""
        from tunesmith.models.roles.token_embedder import open_token_embedder

        return self._once(
            "token_embedder", reference, lambda place: open_token_embedder(place, workspace=self.workspace)
        )

    def filler(self, reference: str) -> Filler:
        """A masked language model."""
        from tunesmith.models.roles.filler import LocalFiller

        return self._once("filler", reference, lambda place: LocalFiller(place, workspace=self.workspace))

    def tagger(self, reference: str) -> Tagger:
        """A run that tags, or a token classifier."""
        from tunesmith.models.roles.tagger import open_tagger

        return self._once(
            "tagger", reference, lambda place: open_tagger(place, workspace=self.workspace, codec=self._codec)
        )

    def classifier(self, reference: str) -> Classifier:
        """A run that classifies."""
        from tunesmith.models.roles.classifier import LocalClassifier

        return self._once(
            "classifier",
            reference,
            lambda place: LocalClassifier(place, workspace=self.workspace, codec=self._codec),
        )

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of the base's tokenizer each text has, without special ones."""
        if self._tokenizer is None:
            raise UserError("there is no base to count tokens by", where="base.model", fix="name a base in the spec")
        if not texts:
            return []
        found = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return [len(ids) for ids in found]

    def digest(self, reference: str) -> str:
        """Names a model by its weights, so that what it said can be kept for as long as they stay; an endpoint by its
        address, since nobody knows what stands behind it.

        Raises:
            ModelError: there is no such model.
        """
        if is_remote(reference):
            return hashlib.sha256(reference.encode()).hexdigest()
        place = locate(self._place(reference), workspace=self.workspace)
        base = read_card(place.folder).get("base", {}).get("digest", "") if place.is_adapter else ""
        return weights_digest(place.folder, base)

    def _once(self, role: str, reference: str, make: Callable[[str], T]) -> T:
        key = (role, reference)
        if key not in self._open:
            self._open[key] = make(self._place(reference))
        return cast(T, self._open[key])

    def _place(self, reference: str) -> str:
        """A folder is relative to the spec's; other references stay as they are."""
        if is_remote(reference) or reference == "bundled" or reference.startswith("run:"):
            return reference
        folder = self.folder / Path(reference).expanduser()
        return str(folder.resolve()) if reference.startswith((".", "~")) or folder.is_dir() else reference
