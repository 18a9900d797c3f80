"""Where models in a role compute."""

from __future__ import annotations

from typing import Any

import torch


def to_fastest(model: Any) -> None:
    """Moves a model to the GPU where there is one."""
    if torch.cuda.is_available():
        model.to("cuda")
