"""Several adapters on one base, switched without opening anything again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError, NotFound, did_you_mean
from tunesmith.models.adapter_files import attach_saved, locate_base
from tunesmith.models.adapters._peft import PeftAdapter, switch
from tunesmith.models.families import HeadKind
from tunesmith.models.heads import Head
from tunesmith.models.load import open_model
from tunesmith.models.model import Model
from tunesmith.models.references import locate, weights_digest
from tunesmith.models.save import load_head, read_card
from tunesmith.models.tokenizer import has_tokenizer, read_tokenizer
from tunesmith.part import Part


@dataclass(frozen=True)
class _Member:
    """What of a model changes with its adapter."""

    inside: str
    """What PEFT calls the adapter."""
    adapter: Part | None
    head: Head | None
    head_kind: HeadKind
    labels: tuple[str, ...]
    multi_label: bool
    context: int
    reference: str
    digest: str
    tokenizer: Any


class AdapterSet:
    """Adapters of one sort on one base, by name, one of them in use.

    Outputs with each in use equal those of the adapter opened alone, bit for bit.

    Args:
        workspace: the folder that holds `runs/`; relative folders are looked up there.
    """

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self._model: Model | None = None
        self._members: dict[str, _Member] = {}

    @property
    def names(self) -> list[str]:
        """The adapters, in the order they were added."""
        return list(self._members)

    def add(self, name: str, reference: str) -> None:
        """Opens an adapter, the first with its base, and puts it to use.

        Args:
            name: what `use` calls it.
            reference: a folder, hub id or `run:NAME/N` that holds an adapter.

        Raises:
            ModelError: it is no adapter, stands on another base, or cannot stand beside the others.
        """
        if name in self._members:
            raise ModelError(f"there is an adapter {name!r} already", where=reference, fix="choose another name")
        place = locate(reference, workspace=self.workspace)
        if not place.is_adapter:
            raise ModelError(
                f"{reference!r} is a whole model", where=str(place.folder), fix="name a folder that holds an adapter"
            )
        if self._model is None:
            model = open_model(reference, workspace=self.workspace)
            if not isinstance(model.adapter, PeftAdapter):
                raise ModelError(
                    f"{model.adapter.kind if model.adapter else 'no'} adapters cannot share a base",
                    where=str(place.folder),
                    fix="open it alone, without other adapters on its base",
                )
            self._model, self._members[name] = model, _member(model, "default")
            return
        model, card = self._model, read_card(place.folder)
        base: dict[str, Any] = card.get("base", {})
        stands_on = base.get("digest") or weights_digest(locate_base(place, base, workspace=self.workspace).folder)
        if stands_on != model.origin.digest:
            raise ModelError(
                f"{reference!r} stands on another base than {model.origin.reference!r}",
                where=str(place.folder),
                fix="add adapters of the same base, or open it alone",
            )
        inside, room = f"set{len(self._members)}", model.context + _taken(model.adapter)
        part = attach_saved(model, place.folder, card.get("adapter"), beside=inside)
        kind: HeadKind = card.get("head", "lm")
        self._members[name] = _Member(
            inside=inside,
            adapter=part,
            head=None if kind == "lm" else load_head(place.folder),
            head_kind=kind,
            labels=tuple(card.get("labels", ())),
            multi_label=bool(card.get("multi_label")),
            context=room - _taken(part),
            reference=place.reference,
            digest=weights_digest(place.folder, stands_on),
            tokenizer=read_tokenizer(place.folder) if has_tokenizer(place.folder) else model.tokenizer,
        )
        self.use(name)

    def use(self, name: str) -> Model:
        """The model with the adapter `name` in use. It is the same object every time; only its adapter changes.

        Raises:
            NotFound: no adapter of that name was added.
        """
        if name not in self._members or self._model is None:
            raise NotFound(
                f"no adapter {name!r} was added{did_you_mean(name, self.names)}",
                fix=f"use one of: {', '.join(self.names) or 'none yet'}",
            )
        model, member = self._model, self._members[name]
        switch(model, member.inside)
        model.adapter, model.head, model.head_kind = member.adapter, member.head, member.head_kind
        model.labels, model.multi_label, model.context = member.labels, member.multi_label, member.context
        model.reference, model.digest, model.tokenizer = member.reference, member.digest, member.tokenizer
        return model


def _member(model: Model, inside: str) -> _Member:
    return _Member(
        inside=inside,
        adapter=model.adapter,
        head=model.head,
        head_kind=model.head_kind,
        labels=model.labels,
        multi_label=model.multi_label,
        context=model.context,
        reference=model.reference,
        digest=model.digest,
        tokenizer=model.tokenizer,
    )


def _taken(adapter: Part | None) -> int:
    """Places of the context that an adapter takes."""
    return int(getattr(adapter, "length", 0))
