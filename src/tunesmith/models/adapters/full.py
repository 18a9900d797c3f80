"""Every weight of the model trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.models.adapters import Adapter

if TYPE_CHECKING:
    from tunesmith.models.model import Model


class Full(Adapter):
    """Trains every weight that takes part in the job. An adapter the model came with is merged first."""

    def attach(self, model: Model, seed: int) -> None:
        if model.adapter is not None:
            model.notes.append(f"the {model.adapter.kind} adapter of {model.reference} is merged before full training")
            _adapter(model).merge(model)
        model.module.requires_grad_(False)
        for parameter in model.used().values():
            parameter.requires_grad_(True)

    def merge(self, model: Model) -> None:
        """Nothing to do: the weights are the model's own."""

    def count(self, model: Model) -> int:
        return sum(parameter.numel() for parameter in model.used().values())


def _adapter(model: Model) -> Adapter:
    assert isinstance(model.adapter, Adapter), f"{model.adapter!r} is not an adapter"
    return model.adapter
