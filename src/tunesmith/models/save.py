"""Writes models as folders that transformers and PEFT open too, with a card that says what they stand on.

model.safetensors + config.json            whole weights, or
adapter_model.safetensors + adapter_config.json      an adapter in PEFT's format
head.safetensors + head.json               our head, for classify and tag
tokenizer files                            with the chat template
tunesmith.json                             the card: base and its digest, head, labels, adapter, versions
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tunesmith.errors import ModelError
from tunesmith.models.adapter_files import write_adapter
from tunesmith.models.heads import Head, Pooling
from tunesmith.models.model import Model
from tunesmith.models.quiet import quiet
from tunesmith.models.references import CARD, HEAD_WEIGHTS, read_json_file
from tunesmith.runs import whole_folder, write_json

HEAD_CONFIG = "head.json"
_FORMAT = 1


def save(model: Model, folder: Path, facts: dict[str, Any]) -> None:
    """Writes `model` to `folder`, whole or not at all; an older model there is replaced.

    Args:
        model: what to save; an attached adapter is saved alone, without its base.
        folder: where to. It may be the folder the model was opened from.
        facts: further JSON values for the card, such as `template` and `max_length`.
    """
    with whole_folder(folder) as unfinished, quiet():
        if model.adapter is not None:
            write_adapter(model, unfinished)
        else:
            model.inner.save_pretrained(unfinished)
        model.tokenizer.save_pretrained(unfinished)
        if model.head is not None:
            _write_head(model.head, unfinished)
        write_json(unfinished / CARD, _card(model, folder, facts))


def _card(model: Model, folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    origin = model.origin
    # The way from here to the base outlives a workspace that is moved as a whole.
    beside = None if origin.folder is None else os.path.relpath(origin.folder, folder.resolve())
    return {
        "format": _FORMAT,
        "base": {
            "reference": origin.reference,
            "revision": origin.revision,
            "initialize": origin.initialize,
            "seed": origin.seed,
            "digest": origin.digest,
            "beside": beside,
        },
        "family": model.family,
        "head": model.head_kind,
        "labels": list(model.labels),
        "multi_label": model.multi_label,
        "adapter": model.adapter.settings() if model.adapter is not None else None,
        "fresh": sorted(model.fresh),
        "versions": {name: version(name) for name in ("tunesmith", "torch", "transformers", "peft", "safetensors")},
        "facts": facts,
    }


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a model that Tunesmith saved; empty for models of others.

    Raises:
        ModelError: the card is damaged or of a later version.
    """
    if not (folder / CARD).exists():
        return {}
    card = read_json_file(folder / CARD, "a model")
    if card.get("format") != _FORMAT:
        raise ModelError(
            f"the model was saved in format {card.get('format')!r}; this version reads {_FORMAT}",
            where=str(folder / CARD),
            fix="open it with the version of Tunesmith that saved it, or a later one",
        )
    return card


def _write_head(head: Head, folder: Path) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in head.state_dict().items()}
    save_file(tensors, folder / HEAD_WEIGHTS, metadata={"format": "pt"})
    write_json(folder / HEAD_CONFIG, {"kind": head.kind, "pooling": head.pooling, "dropout": head.dropout.p})


def load_head(folder: Path) -> Head:
    """Opens the head saved in `folder`.

    Raises:
        ModelError: its files are missing or damaged.
    """
    said = read_json_file(folder / HEAD_CONFIG, "a model with a head")
    try:
        tensors = load_file(folder / HEAD_WEIGHTS)
        num_classes, width = tensors["linear.weight"].shape
        if said["kind"] not in ("classify", "tag") or said["pooling"] not in get_args(Pooling):
            raise ValueError(f"{HEAD_CONFIG} says {said['kind']!r}, {said['pooling']!r}")
        head = Head(said["kind"], width, num_classes, pooling=said["pooling"], dropout=float(said["dropout"]), seed=0)
        head.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"the head cannot be opened: {str(error).strip().splitlines()[0]}",
            where=str(folder),
            fix="copy the model folder again",
        ) from error
    return head.eval()
