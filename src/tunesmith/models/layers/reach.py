"""Which layers of a model an adapter can reach."""

from __future__ import annotations

from torch import nn
from transformers.pytorch_utils import Conv1D

from tunesmith.models.model import Model


def linear_layers(model: Model) -> list[tuple[str, int, int]]:
    """(name, inputs, outputs) of the linear layers that take part in the job, output layer and pooler aside."""
    output = model.inner.get_output_embeddings()
    return [
        (name, *_sizes(layer))
        for name, layer in weighted_layers(model).items()
        if isinstance(layer, (nn.Linear, Conv1D)) and layer is not output
    ]


def transposed(model: Model) -> bool:
    """Whether linear layers keep their weights as [inputs, outputs], as GPT-2's do."""
    return any(isinstance(layer, Conv1D) for layer in model.inner.modules())


def weighted_layers(model: Model) -> dict[str, nn.Module]:
    """Every layer with weights of its own that take part in the job, by name."""
    used = {id(parameter) for parameter in model.used().values()}
    return {
        name: layer
        for name, layer in model.inner.named_modules()
        if any(id(parameter) in used for parameter in layer.parameters(recurse=False))
    }


def embeddings_and_head(model: Model) -> dict[str, str]:
    """The names of the model's own input embeddings and, where it has a part in the job, language head."""
    layers = weighted_layers(model)
    reads = model.trunk if model.family == "encoder_decoder" else model.inner
    own = {"embeddings": reads.get_input_embeddings()}
    if model.head is None:
        own["head"] = model.inner.get_output_embeddings()
    return {word: name for word, wanted in own.items() for name, layer in layers.items() if layer is wanted}


def shared_with(model: Model, name: str) -> list[str]:
    """Names of the other layers that hold the same weights as the layer `name`: tied embeddings."""
    mine = {id(parameter) for parameter in model.inner.get_submodule(name).parameters(recurse=False)}
    return [
        other
        for other, layer in model.inner.named_modules()
        if other != name and any(id(parameter) in mine for parameter in layer.parameters(recurse=False))
    ]


def _sizes(layer: nn.Linear | Conv1D) -> tuple[int, int]:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    inputs, outputs = layer.weight.shape
    return inputs, outputs
