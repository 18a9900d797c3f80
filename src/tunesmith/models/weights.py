"""Builds the transformers module: from safetensors, strictly, or with fresh weights from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from tunesmith.errors import ModelError
from tunesmith.models.families import Family, model_class
from tunesmith.models.quiet import quiet
from tunesmith.models.references import weight_files

_HEADS = (
    "lm_head.", "cls.", "classifier.", "score.", "qa_outputs.", "classification_head.", "pre_classifier.",
    "predictions.", "pooler.", "vocab_transform.", "vocab_layer_norm.", "vocab_projector.", "generator_",
    "discriminator_", "head.", "embed_out.", "decoder.weight", "decoder.bias",
    "final_logits_bias", "lm_loss.", "qa_classifier.",
)  # fmt: skip
"""What transformers calls the layers on top of a trunk. Those of another job may be there or be missing."""


def read_model(kind: Any, folder: Path, config: Any, **more: Any) -> tuple[Any, dict[str, Any]]:
    """(model in fp32, what transformers says of its weights): from safetensors on this machine, by no code of the
    model's own.

    Args:
        kind: a class of transformers, or an automatic one.
        folder: holds the safetensors.
        config: its transformers config.
        more: further settings of `from_pretrained`.
    """
    model, said = kind.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        **more,
    )
    return model, said


def load_module(folder: Path, config: Any, family: Family) -> tuple[nn.Module, frozenset[str]]:
    """Opens the weights in `folder` as fp32, every tensor accounted for.

    Args:
        folder: holds the safetensors.
        config: its transformers config.
        family: decides the class.

    Returns:
        The module, and the names of its head tensors that the files do not hold and are therefore fresh.

    Raises:
        ModelError: files are missing or damaged, or names or shapes do not fit the config.
    """
    for path in weight_files(folder):
        _check_file(path)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # for head tensors that the files lack
        try:
            # Shapes that do not fit are reported below, all at once.
            module, said = read_model(model_class(family), folder, config, ignore_mismatched_sizes=True)
        except (ValueError, RuntimeError, TypeError, KeyError, OSError, ImportError) as error:
            raise ModelError(
                f"the model cannot be built from its config: {str(error).strip().splitlines()[0]}",
                where=str(folder),
                fix="check that config.json and the weights belong together",
            ) from error
    _check_fit(folder, said)
    return module.eval().requires_grad_(False), frozenset(said["missing_keys"])


def fresh_module(config: Any, family: Family, seed: int) -> nn.Module:
    """The architecture of `config` with freshly drawn fp32 weights; equal seeds give equal weights."""
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module: nn.Module = model_class(family).from_config(config, dtype=torch.float32)
        except (ValueError, RuntimeError, TypeError, KeyError, ZeroDivisionError) as error:
            raise ModelError(
                f"the model cannot be built from its config: {str(error).strip().splitlines()[0]}",
                where=str(getattr(config, "_name_or_path", "")),
                fix="mend the sizes in config.json",
            ) from error
    return module.eval().requires_grad_(False)


def module_digest(module: nn.Module) -> str:
    """The sha256 over every tensor of a module, by name; for weights that come from no file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _check_file(path: Path) -> None:
    try:
        with safe_open(path, framework="pt") as file:
            file.keys()
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path.name} is not a whole safetensors file: {error}", where=str(path), fix="fetch the file again"
        ) from error


def _check_fit(folder: Path, said: dict[str, Any]) -> None:
    problems = [
        *_listed("missing from the weights", _not_heads(said["missing_keys"])),
        *_listed("in the weights but unknown to the architecture", _not_heads(said["unexpected_keys"])),
        *_listed(
            "of another shape than config.json says",
            [f"{name} {list(stored)} instead of {list(wanted)}" for name, stored, wanted in said["mismatched_keys"]],
        ),
    ]
    if problems:
        raise ModelError(
            "the weights do not fit config.json: " + "; ".join(problems),
            where=str(folder),
            fix="use the config.json these weights were saved with",
        )


def _not_heads(names: Iterable[str]) -> list[str]:
    return [name for name in names if not any(part in f".{name}" for part in (f".{head}" for head in _HEADS))]


def _listed(what: str, names: Iterable[str]) -> list[str]:
    ordered = sorted(names)
    more = f" and {len(ordered) - 3} more" if len(ordered) > 3 else ""
    return [f"{what}: {', '.join(ordered[:3])}{more}"] if ordered else []
