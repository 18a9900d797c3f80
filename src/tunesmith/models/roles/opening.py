"""Opens the models of a role that are not ours to train: whole, and where they compute fastest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tunesmith.errors import ModelError
from tunesmith.models.quiet import quiet
from tunesmith.models.weights import read_model


def open_whole(kind: Any, folder: Path, config: Any, refusal: Callable[[str], ModelError]) -> Any:
    """A model of transformers in fp32, ready to compute, none of whose weights is missing.

    Args:
        kind: one of transformers' automatic classes, such as `AutoModelForMaskedLM`.
        folder: of the model, in safetensors.
        config: of the model.
        refusal: makes the error of what is wrong.

    Raises:
        ModelError: it cannot be opened, or weights are missing.
    """
    with quiet():
        try:
            model, said = read_model(kind, folder, config)
        except (ValueError, RuntimeError, TypeError, KeyError, OSError) as error:
            raise refusal((str(error).strip() or type(error).__name__).splitlines()[0]) from error
    if missing := sorted(said["missing_keys"]):
        raise refusal(f"its weights lack {missing[0]}")
    model.eval()
    to_fastest(model)
    return model


def to_fastest(model: Any) -> None:
    """Moves a model to the GPU where there is one."""
    if torch.cuda.is_available():
        model.to("cuda")
