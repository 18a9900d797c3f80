"""Which linear layers of a model an adapter can reach."""

from __future__ import annotations

from torch import nn
from transformers.pytorch_utils import Conv1D

from tunesmith.models.model import Model


def linear_layers(model: Model) -> list[tuple[str, int, int]]:
    """(name, inputs, outputs) of the linear layers that take part in the job, output layer and pooler aside."""
    used = {id(parameter) for parameter in model.used().values()}
    output = model.inner.get_output_embeddings()
    return [
        (name, *_sizes(layer))
        for name, layer in model.inner.named_modules()
        if isinstance(layer, (nn.Linear, Conv1D)) and layer is not output and id(layer.weight) in used
    ]


def transposed(model: Model) -> bool:
    """Whether linear layers keep their weights as [inputs, outputs], as GPT-2's do."""
    return any(isinstance(layer, Conv1D) for layer in model.inner.modules())


def _sizes(layer: nn.Linear | Conv1D) -> tuple[int, int]:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    inputs, outputs = layer.weight.shape
    return inputs, outputs
