"""Opens models: `open_model` turns a reference into a `Model` ready to train or to predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from tunesmith.errors import ModelError
from tunesmith.models.adapter_files import attach_saved, locate_base
from tunesmith.models.families import HeadKind, check_head, context_of, family_of, read_config, vocabulary_of
from tunesmith.models.heads import DEFAULT_POOLING, Head, Pooling
from tunesmith.models.model import Model, Origin
from tunesmith.models.references import Place, locate, weights_digest
from tunesmith.models.save import load_head, read_card
from tunesmith.models.tokenizer import check_vocabulary, choose_pad_id, has_tokenizer, open_tokenizer, read_tokenizer
from tunesmith.models.weights import fresh_module, load_module, module_digest

__all__ = ["Model", "open_model", "open_tokenizer"]


def open_model(
    reference: str,
    *,
    workspace: Path,
    head: HeadKind | None = None,
    labels: Sequence[str] = (),
    multi_label: bool = False,
    revision: str | None = None,
    initialize: str = "pretrained",
    seed: int = 0,
    pooling: Pooling | None = None,
    dropout: float = 0.1,
) -> Model:
    """Opens a base model, a trained model, or an adapter on its base; weights are fp32 on the CPU.

    Args:
        reference: `bundled`, a folder, a hub id, or `run:NAME/N`.
        workspace: the folder that holds `runs/`; relative folders are looked up there.
        head: `lm`, `classify` or `tag`; None takes what the model was saved with, `lm` for plain ones
            (`classify` needs labels, `tag` its tag names).
        labels: the head's classes; empty takes those it was saved with.
        multi_label: whether a row may have several labels.
        revision: a hub branch, tag or commit.
        initialize: `pretrained`, or `random` for the architecture and tokenizer with fresh weights.
        seed: draws fresh weights, of the model or of its head.
        pooling: how a classify head sees a row; None takes the family's default, or what was saved.
        dropout: in front of a fresh head.

    Raises:
        ModelError: anything about the model that would make training or predicting wrong.
    """
    place = locate(reference, workspace=workspace, revision=revision, weights=initialize == "pretrained")
    card = read_card(place.folder)
    model = (
        _open_adapter(place, card, workspace=workspace, initialize=initialize)
        if place.is_adapter
        else _open_whole(place, initialize, seed)
    )
    saved_kind: HeadKind = card.get("head", "lm")
    kind = head or saved_kind
    if kind not in get_args(HeadKind):
        raise ModelError(f"no head {kind!r}", where=reference, fix=f"use one of: {', '.join(get_args(HeadKind))}")
    check_head(model.family, kind, reference)
    if kind == "lm":
        _need_trained_language_head(model, card)
        return model
    same = kind == saved_kind and tuple(labels or card["labels"]) == tuple(card["labels"])
    if same and initialize == "pretrained":
        model.head = load_head(place.folder)
        model.labels, model.multi_label = tuple(card["labels"]), bool(card["multi_label"])
    else:
        if not labels:
            raise ModelError(f"a {kind} head needs labels", where=reference, fix="give the names of its classes")
        if kind == saved_kind and initialize == "pretrained":
            model.notes.append(f"the {kind} head of {reference} has other labels; a fresh one is drawn")
        width = model.inner.config.get_text_config().hidden_size
        model.head = Head(
            kind, width, len(labels), pooling=pooling or DEFAULT_POOLING[model.family], dropout=dropout, seed=seed
        )
        model.labels, model.multi_label = tuple(labels), multi_label
    model.head_kind = kind
    model.train(False)
    return model


def _open_whole(place: Place, initialize: str, seed: int) -> Model:
    config = read_config(place.folder)
    family = family_of(config)
    tokenizer = read_tokenizer(place.folder)
    check_vocabulary(tokenizer, vocabulary_of(config), str(place.folder))
    fresh: frozenset[str] = frozenset()
    if initialize == "random":
        module = fresh_module(config, family, seed)
        digest = module_digest(module)
    else:
        module, fresh = load_module(place.folder, config, family)
        digest = weights_digest(place.folder)
    pad_id, note = choose_pad_id(tokenizer, config.pad_token_id, vocabulary_of(config))
    return Model(
        module=module,
        head=None,
        tokenizer=tokenizer,
        family=family,
        head_kind="lm",
        labels=(),
        multi_label=False,
        context=context_of(config, tokenizer.model_max_length),
        pad_id=pad_id,
        reference=place.reference,
        digest=digest,
        origin=Origin(
            reference=place.reference,
            revision=place.revision,
            initialize=initialize,
            seed=seed if initialize == "random" else 0,
            digest=digest,
            folder=None if place.reference == "bundled" or place.revision else place.folder,
        ),
        fresh=fresh,
        notes=[note] if note else [],
    )


def _open_adapter(place: Place, card: dict[str, Any], *, workspace: Path, initialize: str) -> Model:
    if initialize == "random":
        raise ModelError(
            "an adapter has no weights of its own to start afresh",
            where=place.reference,
            fix="name its base model instead, with `initialize: random`",
        )
    base = card.get("base", {})
    found = locate_base(place, base, workspace=workspace)
    model = _open_whole(found, base.get("initialize", "pretrained"), base.get("seed", 0))
    if base.get("digest", model.digest) != model.digest:
        raise ModelError(
            f"the base {found.reference!r} is not the one this adapter was trained on (sha256 differs)",
            where=str(place.folder),
            fix="put back the base it was trained on, or train the adapter again",
        )
    attach_saved(model, place.folder, card.get("adapter"))
    if has_tokenizer(place.folder):
        model.tokenizer = read_tokenizer(place.folder)
        check_vocabulary(model.tokenizer, vocabulary_of(model.inner.config), str(place.folder))
    model.reference = place.reference
    model.digest = weights_digest(place.folder, model.origin.digest)
    return model


def _need_trained_language_head(model: Model, card: dict[str, Any]) -> None:
    fresh = [name for name in (*model.fresh, *card.get("fresh", ())) if "lm_head" in name or "embed_out" in name]
    if fresh:
        raise ModelError(
            f"the model has no trained language head ({fresh[0]})",
            where=model.reference,
            fix="use it with the objective classify or tag, or name the checkpoint that has the head",
        )
