"""LoRA: low-rank updates of linear layers, by PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tunesmith.errors import ModelError
from tunesmith.models.adapters._peft import PeftAdapter, endings, named

if TYPE_CHECKING:
    from tunesmith.models.model import Model


class Lora(PeftAdapter):
    """Adds to chosen linear layers an update of low rank, and trains only that (arXiv 2106.09685)."""

    rank: int = Field(default=16, ge=1)
    """The rank of the update; more learns more and costs more."""
    alpha: float = Field(default=32.0, gt=0)
    """The update is scaled by alpha / rank."""
    scaling: Literal["standard", "rslora"] = "standard"
    """`rslora` scales by alpha / sqrt(rank) instead, so that large ranks learn as fast (arXiv 2312.03732)."""
    dora: bool = False
    """Trains the length of each output's weights apart from their direction (DoRA, arXiv 2402.09353)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the inputs of the update dropped in training."""
    targets: Literal["all-linear"] | list[str] = "all-linear"
    """Names of the linear layers that get an update, such as `[q_proj, v_proj]`, or all of them."""
    top_layers: int | None = Field(default=None, ge=1)
    """Only this many of the top layers get an update; all when left out."""
    train_also: list[str] = Field(default_factory=list)
    """Layers trained whole beside it, by name, such as `norm`; `embeddings` and `head` mean the model's own."""

    def peft_config(self, model: Model) -> Any:
        from peft import LoraConfig

        from tunesmith.models.layers.reach import shared_with, transposed

        whole = self._whole(model)
        tied = [name for name in whole if shared_with(model, name)]
        joined = {name.rpartition(".")[2] for name in tied for name in (name, *shared_with(model, name))}
        if joined - {"embed_tokens", "lm_head"} or (tied and model.family != "causal"):
            raise ModelError(
                f"{tied[0]!r} shares its weights with {shared_with(model, tied[0])[0]!r}, and PEFT would part them",
                where="train.adapter.train_also",
                fix="leave it out, or train with `adapter: full`, which keeps shared weights shared",
            )
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            use_rslora=self.scaling == "rslora",
            use_dora=self.dora,
            target_modules=endings(model, self._updated(model, whole)),
            modules_to_save=whole or None,
            # Input and output embeddings that are one matrix are trained as one and stay one.
            ensure_weight_tying=bool(tied),
            fan_in_fan_out=transposed(model),
        )

    def _updated(self, model: Model, whole: list[str]) -> list[str]:
        """Names of the layers that get an update; those trained whole need none."""
        from tunesmith.models.layers.depth import layers
        from tunesmith.models.layers.reach import linear_layers

        lowest = self._lowest(model)
        found = layers(model)
        names = [name for name, _, _ in linear_layers(model) if found.of(name) >= lowest]
        if self.targets == "all-linear":
            return [name for name in names if name not in whole]
        chosen = named(
            self.targets, names, what="linear layer", where="train.adapter.targets", also="; or `all-linear`"
        )
        if both := sorted(set(chosen) & set(whole)):
            raise ModelError(
                f"{both[0]!r} is named in both targets and train_also",
                where="train.adapter",
                fix="name it in one: trained whole, it needs no update",
            )
        return chosen

    def _lowest(self, model: Model) -> int:
        """The lowest layer that gets an update; -1 where those below the layers do too."""
        from tunesmith.models.layers.depth import layers

        count = layers(model).count
        if self.top_layers is not None and self.top_layers > count:
            raise ModelError(
                f"{self.top_layers} layers are to get an update, and the model has {count}",
                where="train.adapter.top_layers",
                fix=f"write at most {count}, or leave it out for all",
            )
        return -1 if self.top_layers is None else count - self.top_layers

    def _whole(self, model: Model) -> list[str]:
        """Names of the layers that are trained whole."""
        from tunesmith.models.layers.reach import embeddings_and_head, weighted_layers

        words = embeddings_and_head(model)
        layers = weighted_layers(model)
        asked = [words.get(name, name) for name in self.train_also]
        return named(
            asked,
            layers,
            what="layer",
            where="train.adapter.train_also",
            also=f"; or {' or '.join(f'`{word}`' for word in words)}",
        )

    def count(self, model: Model) -> int:
        from tunesmith.models.layers.reach import linear_layers, weighted_layers

        whole = self._whole(model)
        chosen = set(self._updated(model, whole))
        updates = [(inputs, outputs) for name, inputs, outputs in linear_layers(model) if name in chosen]
        layers = weighted_layers(model)
        shared = {id(weight): weight for name in whole for weight in layers[name].parameters()}
        return (
            sum(self.rank * (inputs + outputs) for inputs, outputs in updates)
            + (sum(outputs for _, outputs in updates) if self.dora else 0)
            + sum(weight.numel() for weight in shared.values())
        )
