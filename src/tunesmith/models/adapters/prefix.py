"""Prefix tuning: trained keys and values in front of every row, in every layer, by PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith.errors import ModelError
from tunesmith.models.adapters._virtual import VirtualTokens

if TYPE_CHECKING:
    from tunesmith.models.model import Model


class Prefix(VirtualTokens):
    """Lets every layer's attention see trained keys and values in front of each row (arXiv 2101.00190)."""

    def peft_config(self, model: Model) -> Any:
        from peft import PrefixTuningConfig

        self.refuse_long(model)
        layers, heads, width = _attention(model)
        return PrefixTuningConfig(
            num_virtual_tokens=self.length,
            num_layers=layers,
            num_attention_heads=heads,
            token_dim=heads * width,
            num_transformer_submodules=2 if model.family == "encoder_decoder" else 1,
        )

    def begin(self, model: Model, seed: int) -> None:
        import torch

        from tunesmith.models.adapters._injection import prefix_of

        module: Any = model.module
        table = module.prompt_encoder["default"].embedding.weight
        if not table.is_meta:
            with torch.no_grad():
                prefix_of(model, self.first_ids(model, seed), table)

    def finish(self, model: Model) -> None:
        from tunesmith.models.adapters._injection import inject_prefix

        inject_prefix(model)

    def count(self, model: Model) -> int:
        self.refuse_long(model)
        layers, heads, width = _attention(model)
        return self.length * 2 * layers * heads * width


def _attention(model: Model) -> tuple[int, int, int]:
    """Layers, key heads and width of a head of the attention that sees the prefix: a decoder's, towards itself."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_PREFIX_TUNING_POSTPROCESS_MAPPING as OWN_LAYOUT

    config = model.inner.config.get_text_config()
    plain = set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    reason = None
    if model.family == "encoder":
        reason = "is an encoder, whose attention keeps no keys"
    elif model.family == "encoder_decoder" and model.head is not None:
        reason = "gives its encoder's states to the head, and a prefix reaches the decoder alone"
    elif not plain or config.model_type in OWN_LAYOUT:
        reason = "keeps its keys in another way in some layers"
    if reason:
        raise ModelError(
            f"{model.reference} {reason}",
            where="train.adapter",
            fix="use `adapter: prompt`, or lora, ia3 or bottleneck",
        )
    if model.family == "encoder_decoder":
        layers = getattr(config, "num_decoder_layers", None) or config.decoder_layers
        heads = getattr(config, "decoder_attention_heads", None) or config.num_heads
        return layers, heads, getattr(config, "d_kv", None) or config.d_model // heads
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return config.num_hidden_layers, getattr(config, "num_key_value_heads", None) or heads, width
