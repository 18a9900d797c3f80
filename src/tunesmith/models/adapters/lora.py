"""LoRA: low-rank updates of linear layers, by PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tunesmith.errors import ModelError, did_you_mean
from tunesmith.models.adapters import Adapter

if TYPE_CHECKING:
    from tunesmith.models.model import Model


class Lora(Adapter):
    """Adds to chosen linear layers an update of low rank, and trains only that (arXiv 2106.09685)."""

    rank: int = Field(default=16, ge=1)
    """The rank of the update; more learns more and costs more."""
    alpha: float = Field(default=32.0, gt=0)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the inputs of the update dropped in training."""
    targets: Literal["all-linear"] | list[str] = "all-linear"
    """Names of the linear layers that get an update, such as `[q_proj, v_proj]`, or all of them."""

    def attach(self, model: Model, seed: int) -> None:
        if model.adapter is not None:
            self._go_on(model)
            return
        import torch
        from peft import LoraConfig, get_peft_model

        from tunesmith.models.layers import linear_layers, transposed
        from tunesmith.models.quiet import quiet

        layers = linear_layers(model)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self._resolve([name for name, _, _ in layers], model),
            fan_in_fan_out=transposed(model),
        )
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model.module = get_peft_model(model.module, config, autocast_adapter_dtype=False)
        model.adapter = self

    def _go_on(self, model: Model) -> None:
        assert model.adapter is not None
        if model.adapter.settings() != self.settings():
            raise ModelError(
                f"{model.reference} carries the adapter {model.adapter.settings()}, not {self.settings()}",
                where="train.adapter",
                fix="write the same settings to go on training it, or `adapter: full`, which merges it first",
            )
        for name, parameter in model.module.named_parameters():
            parameter.requires_grad_("lora_" in name)

    def _resolve(self, names: list[str], model: Model) -> list[str]:
        """The shortest list of name endings that PEFT matches to exactly the wanted layers."""
        wanted = names if self.targets == "all-linear" else self._named(names)
        endings = sorted({name.rpartition(".")[2] for name in wanted})
        matched = [name for name, _ in model.module.named_modules() if name.rpartition(".")[2] in endings]
        return endings if sorted(matched) == sorted(wanted) else sorted(wanted)

    def _named(self, names: list[str]) -> list[str]:
        for target in self.targets:
            if not any(_matches(name, target) for name in names):
                known = sorted({name.rpartition(".")[2] for name in names})
                raise ModelError(
                    f"the model has no linear layer {target!r}{did_you_mean(target, known)}",
                    where="train.adapter.targets",
                    fix=f"use some of: {', '.join(known)}; or `all-linear`",
                )
        return [name for name in names if any(_matches(name, target) for target in self.targets)]

    def merge(self, model: Model) -> None:
        module: Any = model.module
        model.module = module.merge_and_unload()
        model.adapter = None

    def count(self, linears: list[tuple[str, int, int]], total: int) -> int:
        names = [name for name, _, _ in linears]
        chosen = set(names if self.targets == "all-linear" else self._named(names))
        return sum(self.rank * (inputs + outputs) for name, inputs, outputs in linears if name in chosen)


def _matches(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
