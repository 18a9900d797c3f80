"""Bottleneck adapters: small trained layers behind a block's outputs, after Houlsby et al. and Pfeiffer et al."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.errors import ModelError
from tunesmith.models.adapters import Adapter
from tunesmith.models.adapters._peft import compare, matches, named

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.models.model import Model

_FEEDFORWARD = (
    "down_proj", "mlp.c_proj", "fc2", "wo", "output.dense", "dense_4h_to_h", "fc_out", "mlp.Wo", "lin2", "w2",
)  # fmt: skip
_ATTENTION = (
    "o_proj", "out_proj", "attention.output.dense", "attn.c_proj", "SelfAttention.o", "EncDecAttention.o",
    "attention.dense", "self_attention.dense", "attn.Wo", "out_lin",
)  # fmt: skip
"""What architectures call the linear layers whose outputs join the residual stream."""


class Bottleneck(Adapter):
    """Adds a narrow trained layer behind each block's outputs: y + up(act(down(y))) (arXiv 1902.00751)."""

    mergeable: ClassVar[bool] = False

    size: int = Field(default=64, ge=1)
    """The width of the narrow layer; more learns more and costs more."""
    activation: Literal["gelu", "relu", "tanh"] = "gelu"
    """What is applied to the narrow layer."""
    after: Literal["both", "feedforward"] | list[str] = "both"
    """`both` attention and feed-forward outputs (Houlsby), `feedforward` alone (Pfeiffer), or linear layers by name."""

    def attach(self, model: Model, seed: int) -> None:
        if model.adapter is not None:
            self.refuse_change(model)
            return
        self._insert(model, [name for name, _ in self._resolve(model)], seed)

    def _insert(self, model: Model, names: list[str], seed: int) -> None:
        import torch

        from tunesmith.models.adapters._inserted import insert

        model.module.requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for name in names:
                insert(model.inner, name, self.size, self.activation)
        model.adapter = self

    def _resolve(self, model: Model) -> list[tuple[str, int]]:
        """(name, outputs) of the linear layers that get one behind them."""
        from tunesmith.models.layers.reach import linear_layers

        widths = {name: outputs for name, _, outputs in linear_layers(model)}
        if isinstance(self.after, list):
            chosen = named(self.after, widths, what="linear layer", where="train.adapter.after")
            return [(name, widths[name]) for name in chosen]
        attention = [name for name in widths if any(matches(name, ending) for ending in _ATTENTION)]
        feedforward = [name for name in widths if any(matches(name, ending) for ending in _FEEDFORWARD)]
        feedforward = [name for name in feedforward if name not in attention]
        if not feedforward or (self.after == "both" and not attention):
            raise ModelError(
                f"which outputs of {model.inner.config.model_type!r} join its residual stream is not known",
                where="train.adapter.after",
                fix=f"name them, of: {', '.join(sorted({name.rpartition('.')[2] for name in widths}))}",
            )
        chosen = feedforward if self.after == "feedforward" else [*attention, *feedforward]
        return [(name, widths[name]) for name in chosen]

    def merge(self, model: Model) -> None:
        raise self.refuse_merge()

    def count(self, model: Model) -> int:
        return sum(2 * self.size * width + self.size + width for _, width in self._resolve(model))

    def saved(self, model: Model) -> tuple[dict[str, Tensor], dict[str, Any]]:
        settings = {key: value for key, value in self.settings().items() if key != "kind"}
        config = {
            "peft_type": "BOTTLENECK",
            "base_model_name_or_path": model.origin.reference,
            "revision": model.origin.revision,
            "settings": settings,
        }
        return _own(model), config

    def reopen(self, model: Model, tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
        import torch

        self._insert(model, sorted({name.partition(".bottleneck.")[0] for name in tensors}), seed=0)
        own = _own(model)
        compare(tensors, own)
        with torch.no_grad():
            for name, weight in own.items():
                weight.copy_(tensors[name])
        model.module.eval()


def _own(model: Model) -> dict[str, Tensor]:
    return {name: weight for name, weight in model.inner.named_parameters() if ".bottleneck." in name}
