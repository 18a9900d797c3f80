"""Reads and writes adapters in PEFT's folder format, strictly and from safetensors only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tunesmith.errors import ModelError
from tunesmith.models.model import Model
from tunesmith.models.quiet import quiet
from tunesmith.models.references import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    Place,
    locate,
    read_json_file,
    refuse_code,
    weight_files,
)
from tunesmith.part import ADAPTERS, Part
from tunesmith.runs import write_json

_TASK_TYPES = {"causal": "CAUSAL_LM", "encoder": "FEATURE_EXTRACTION", "encoder_decoder": "SEQ_2_SEQ_LM"}


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """The adapter's `adapter_config.json`.

    Raises:
        ModelError: it is missing or damaged, asks for code, or is of a sort Tunesmith does not know.
    """
    path = folder / ADAPTER_CONFIG
    written = read_json_file(path, "a PEFT adapter")
    refuse_code({key: value for key, value in written.items() if key != "auto_mapping"}, path)
    if written.get("peft_type") != "LORA":
        raise ModelError(
            f"adapters of type {written.get('peft_type')!r} are not known here",
            where=str(path),
            fix="use a LoRA adapter, or merge this one with peft's merge_and_unload and name the merged folder",
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


def attach_saved(model: Model, folder: Path, settings: dict[str, Any] | None) -> None:
    """Puts the saved adapter in `folder` on a whole model, ready to be trained further.

    Args:
        model: the base the adapter was trained on; changed in place.
        folder: holds adapter_config.json and adapter_model.safetensors.
        settings: the part as Tunesmith saved it; None for adapters that others made.

    Raises:
        ModelError: the adapter is damaged or does not fit the model.
    """
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    read_adapter_config(folder)
    try:
        state = load_file(weight_files(folder)[0])
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{ADAPTER_WEIGHTS} is not a whole safetensors file: {error}",
            where=str(folder),
            fix="copy the adapter again",
        ) from error
    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode, config.task_type, config.base_model_name_or_path = False, None, None
        with quiet(), torch.random.fork_rng(devices=[]):
            module = get_peft_model(model.module, config, autocast_adapter_dtype=False)
        wanted = get_peft_model_state_dict(module, save_embedding_layers=False)
        _compare(state, wanted, folder)
        set_peft_model_state_dict(module, state)
    except (ValueError, TypeError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"the adapter does not fit its base: {str(error).strip().splitlines()[0]}",
            where=str(folder),
            fix="use the base model that adapter_config.json names",
        ) from error
    model.module = module.eval()
    model.adapter = _part(settings, config)


def _part(settings: dict[str, Any] | None, config: Any) -> Part:
    if settings is not None:
        return ADAPTERS.make(settings)
    targets = config.target_modules if isinstance(config.target_modules, str) else sorted(config.target_modules)
    return ADAPTERS.make(
        {"kind": "lora", "rank": config.r, "alpha": config.lora_alpha, "dropout": config.lora_dropout}
        | {"targets": targets}
    )


def _compare(state: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], folder: Path) -> None:
    wrong = sorted(state.keys() ^ wanted.keys()) or sorted(
        name for name in wanted if wanted[name].shape != state[name].shape
    )
    if wrong:
        raise ModelError(
            f"{len(wrong)} tensors of the adapter do not fit its base, the first is {wrong[0]!r}",
            where=str(folder),
            fix="use the base model that adapter_config.json names",
        )


def write_adapter(model: Model, folder: Path) -> None:
    """Writes adapter_config.json and adapter_model.safetensors; `PeftModel.from_pretrained` opens them."""
    from peft import get_peft_model_state_dict

    module: Any = model.module
    state = get_peft_model_state_dict(module, save_embedding_layers=False)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())}
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = module.peft_config["default"].to_dict()
    config |= {
        "base_model_name_or_path": model.origin.reference,
        "revision": model.origin.revision,
        "inference_mode": True,
        "task_type": _TASK_TYPES[model.family],
    }
    # PEFT keeps names in sets, whose order changes from process to process.
    ordered = {key: sorted(value) if isinstance(value, set) else value for key, value in sorted(config.items())}
    write_json(folder / ADAPTER_CONFIG, ordered)
