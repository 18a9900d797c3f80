"""Reads and writes adapters in PEFT's folder format, strictly and from safetensors only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tunesmith.errors import ModelError
from tunesmith.models.adapters import Adapter
from tunesmith.models.adapters._peft import PeftAdapter
from tunesmith.models.model import Model
from tunesmith.models.references import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    Place,
    locate,
    read_json_file,
    refuse_code,
    weight_files,
)
from tunesmith.part import ADAPTERS
from tunesmith.runs import write_json

KINDS = {"LORA": "lora", "IA3": "ia3", "PREFIX_TUNING": "prefix", "PROMPT_TUNING": "prompt", "BOTTLENECK": "bottleneck"}
"""What `adapter_config.json` calls a sort of adapter, and which part of ours opens it; BOTTLENECK is not PEFT's."""


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """The adapter's `adapter_config.json`.

    Raises:
        ModelError: it is missing or damaged, asks for code, or is of a sort Tunesmith does not know.
    """
    path = folder / ADAPTER_CONFIG
    written = read_json_file(path, "a PEFT adapter")
    refuse_code({key: value for key, value in written.items() if key != "auto_mapping"}, path)
    if written.get("peft_type") not in KINDS:
        raise ModelError(
            f"adapters of type {written.get('peft_type')!r} are not known here",
            where=str(path),
            fix=f"use one of {', '.join(KINDS)}, or merge it with peft's merge_and_unload and name the merged folder",
        )
    return written


def locate_base(place: Place, base: dict[str, Any], *, workspace: Path) -> Place:
    """Finds the whole model that an adapter stands on.

    Args:
        place: the adapter.
        base: what its card says of the base; empty for adapters that others made.
        workspace: the folder that holds `runs/`.

    Raises:
        ModelError: the adapter names no base, or one that is missing or an adapter itself.
    """
    config = read_adapter_config(place.folder)
    reference = base.get("reference") or config.get("base_model_name_or_path")
    if not reference:
        raise ModelError(
            "the adapter does not say which base it belongs to",
            where=str(place.folder),
            fix="write base_model_name_or_path into its adapter_config.json",
        )
    there = (place.folder / base["beside"]).resolve() if base.get("beside") else None
    if there is None:
        weights = base.get("initialize", "pretrained") == "pretrained"
        found = locate(reference, workspace=workspace, revision=base.get("revision"), weights=weights)
    elif (there / "config.json").exists():
        found = Place(reference, there)
    elif reference.startswith("run:") or (workspace / reference).is_dir():
        found = locate(reference, workspace=workspace)
    else:
        raise ModelError(
            f"the adapter's base {reference!r} is gone", where=str(there), fix="put the base back where it was"
        )
    if found.is_adapter:
        raise ModelError(
            f"the adapter's base {reference!r} is itself an adapter",
            where=str(place.folder),
            fix="merge that one into its own base first and name the merged folder",
        )
    return found


def attach_saved(model: Model, folder: Path, settings: dict[str, Any] | None, *, beside: str | None = None) -> Adapter:
    """Puts the saved adapter in `folder` on a whole model, ready to be trained further.

    Args:
        model: the base the adapter was trained on; changed in place.
        folder: holds adapter_config.json and adapter_model.safetensors.
        settings: the part as Tunesmith saved it; None for adapters that others made.
        beside: put it, under this name, beside the adapter that the model carries.

    Returns:
        The part it was made by.

    Raises:
        ModelError: the adapter is damaged or does not fit the model.
    """
    config = read_adapter_config(folder)
    try:
        tensors = load_file(weight_files(folder)[0])
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{ADAPTER_WEIGHTS} is not a whole safetensors file: {error}",
            where=str(folder),
            fix="copy the adapter again",
        ) from error
    part = ADAPTERS.make(settings or _settings(config))
    assert isinstance(part, Adapter)
    try:
        if beside is None:
            part.reopen(model, tensors, config)
        elif isinstance(part, PeftAdapter):
            part.join(model, beside, tensors, config)
        else:
            raise ValueError(f"{part.kind} adapters stand on their base alone")
    except (ValueError, TypeError, RuntimeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"the adapter does not fit its base: {str(error).strip().splitlines()[0]}",
            where=str(folder),
            fix="use the base model that adapter_config.json names"
            if beside is None
            else "open it alone, without other adapters on its base",
        ) from error
    return part


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """The part that comes nearest to an adapter of others; what they set beside it stays in its config."""
    kind = KINDS[config["peft_type"]]
    targets = config.get("target_modules")
    named = targets if isinstance(targets, str) or targets is None else sorted(targets)
    if kind == "lora":
        return {
            "kind": kind,
            "rank": config["r"],
            "alpha": config["lora_alpha"],
            "scaling": "rslora" if config.get("use_rslora") else "standard",
            "dora": bool(config.get("use_dora")),
            "dropout": config.get("lora_dropout", 0.0),
            "targets": named,
            "train_also": sorted(config.get("modules_to_save") or []),
        }
    if kind == "ia3":
        return {"kind": kind, "targets": named, "feedforward": sorted(config.get("feedforward_modules") or [])}
    if kind in ("prefix", "prompt"):
        return {"kind": kind, "length": config["num_virtual_tokens"]}
    return {"kind": kind, **config["settings"]}


def write_adapter(model: Model, folder: Path) -> None:
    """Writes adapter_config.json and adapter_model.safetensors, in PEFT's format where PEFT has the sort."""
    assert isinstance(model.adapter, Adapter)
    state, config = model.adapter.saved(model)
    # Weights that the model shares are written under each of their names, as PEFT reads them.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in sorted(state.items())}
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    # PEFT keeps names in sets, whose order changes from process to process.
    ordered = {key: sorted(value) if isinstance(value, set) else value for key, value in sorted(config.items())}
    write_json(folder / ADAPTER_CONFIG, ordered)
