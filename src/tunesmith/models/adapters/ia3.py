"""IA3: trained factors on keys, values and the insides of feed-forward layers, by PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from tunesmith.errors import ModelError
from tunesmith.models.adapters._peft import PeftAdapter, named

if TYPE_CHECKING:
    from tunesmith.models.model import Model


class Ia3(PeftAdapter):
    """Scales keys, values and feed-forward activations by trained factors, a few thousand in all (arXiv 2205.05638)."""

    targets: list[str] | None = None
    """Linear layers that are scaled, such as `[k_proj, v_proj, down_proj]`; known for most architectures."""
    feedforward: list[str] = Field(default_factory=list)
    """Those of `targets` whose inputs are scaled instead of their outputs, such as `[down_proj]`."""

    @model_validator(mode="after")
    def _feedforward_is_read(self) -> Self:
        if self.feedforward and self.targets is None:
            raise ValueError("`feedforward` says which of the `targets` are scaled before them: name those too")
        return self

    def peft_config(self, model: Model) -> Any:
        from peft import IA3Config

        from tunesmith.models.layers.reach import transposed

        targets, feedforward = self._resolve(model)
        return IA3Config(target_modules=targets, feedforward_modules=feedforward, fan_in_fan_out=transposed(model))

    def _resolve(self, model: Model) -> tuple[list[str], list[str]]:
        """Full names of the layers that are scaled, and of those whose inputs are."""
        from peft.utils.constants import (
            TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as FEEDFORWARD,
        )
        from peft.utils.constants import (
            TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as TARGETS,
        )

        from tunesmith.models.layers.reach import linear_layers

        names = [name for name, _, _ in linear_layers(model)]
        architecture = model.inner.config.model_type
        known = architecture in TARGETS and architecture in FEEDFORWARD
        if self.targets is None and not known:
            raise ModelError(
                f"which layers IA3 scales is not known for {architecture!r}",
                where="train.adapter.targets",
                fix=f"name them, of: {', '.join(sorted({name.rpartition('.')[2] for name in names}))}",
            )
        if self.targets is None:
            wanted, inputs = TARGETS[architecture], FEEDFORWARD[architecture]
        else:
            wanted, inputs = self.targets, self.feedforward
        targets = named(wanted, names, what="linear layer", where="train.adapter.targets")
        return targets, named(inputs, targets, what="scaled layer", where="train.adapter.feedforward")

    def count(self, model: Model) -> int:
        from tunesmith.models.layers.reach import linear_layers

        targets, feedforward = self._resolve(model)
        sizes = {name: (inputs, outputs) for name, inputs, outputs in linear_layers(model)}
        return sum(sizes[name][0] if name in feedforward else sizes[name][1] for name in targets)
