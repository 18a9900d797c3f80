"""What can be told of a base model from its config and files, without loading weights."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tunesmith.models.adapter_files import locate_base
from tunesmith.models.families import Family, context_of, family_of, read_config, vocabulary_of
from tunesmith.models.references import Place, has_weights, locate, read_json_file, weight_files, weights_digest
from tunesmith.models.save import read_card


@dataclass(frozen=True)
class BaseFacts:
    """What a plan, a ledger and a card need to know of a base."""

    reference: str
    """How a spec names it."""
    revision: str | None
    """The hub commit; None for what is on this machine."""
    family: Family
    architecture: str
    """The config's model_type, such as `llama`."""
    num_parameters: int
    """Of the whole model; weights that are shared count once."""
    context: int
    """The longest sequence, in tokens."""
    vocabulary: int
    licence: str | None
    """What the model card says; None when it says nothing."""
    languages: tuple[str, ...]
    """Those the model card names."""
    datasets: tuple[str, ...]
    """What the model card says it was trained on."""
    digest: str
    """sha256 that names the weights; of the config alone where there are none."""
    config: Any = field(repr=False, compare=False)
    """The transformers config."""


def base_facts(
    reference: str, *, workspace: Path, revision: str | None = None, initialize: str | None = None
) -> BaseFacts:
    """Reads the facts of a base; for an adapter those of the model it stands on, with its own digest.

    Args:
        reference: `bundled`, a folder, a hub id or `run:NAME/N`.
        workspace: the folder that holds `runs/`.
        revision: a hub branch, tag or commit.
        initialize: `pretrained` refuses a folder without weights; None and `random` take it.

    Raises:
        ModelError: the model does not exist or cannot be used.
    """
    place = locate(reference, workspace=workspace, revision=revision, weights=initialize != "random")
    base = read_card(place.folder).get("base", {})
    whole = locate_base(place, base, workspace=workspace) if place.is_adapter else place
    config = read_config(whole.folder)
    family = family_of(config)
    if initialize == "pretrained":
        weight_files(whole.folder)
    card = _model_card(whole.folder)
    return BaseFacts(
        reference=place.reference,
        revision=place.revision,
        family=family,
        architecture=config.model_type,
        num_parameters=count_parameters(config, family),
        context=context_of(config, _tokenizer_limit(whole.folder)),
        vocabulary=vocabulary_of(config),
        licence=next(iter(_words(card.get("license"))), None),
        languages=_words(card.get("language")),
        datasets=_words(card.get("datasets")),
        digest=_digest(place, whole),
        config=config,
    )


def count_parameters(config: Any, family: Family) -> int:
    """Parameters of the architecture, counted on torch's meta device, where nothing is allocated."""
    return sum(parameter.numel() for parameter in meta_module(config, family).parameters())


def meta_module(config: Any, family: Family) -> Any:
    """The transformers module of a config without storage: shapes only."""
    import torch

    from tunesmith.models.weights import fresh_module

    with torch.device("meta"):
        return fresh_module(config, family, seed=0)


def _digest(place: Place, whole: Place) -> str:
    if not has_weights(whole.folder):
        return hashlib.sha256((whole.folder / "config.json").read_bytes()).hexdigest()
    digest = weights_digest(whole.folder)
    return weights_digest(place.folder, digest) if place.is_adapter else digest


def _tokenizer_limit(folder: Path) -> int:
    path = folder / "tokenizer_config.json"
    limit = read_json_file(path, "a tokenizer").get("model_max_length") if path.exists() else None
    return int(limit) if isinstance(limit, (int, float)) else 0


def _model_card(folder: Path) -> dict[str, Any]:
    """The front matter of the model card; empty where there is none that can be read."""
    path = folder / "README.md"
    text = path.read_text("utf-8", "replace") if path.exists() else ""
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    try:
        found = YAML(typ="safe").load(front.group(1)) if front else None
    except YAMLError:
        found = None
    return found if isinstance(found, dict) else {}


def _words(value: Any) -> tuple[str, ...]:
    """One text or a list of them, as a card may write either."""
    return tuple(str(each) for each in (value if isinstance(value, list) else [value]) if each)
