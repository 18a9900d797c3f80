"""Prompt tuning: trained embeddings in front of every row, by PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith.models.adapters._virtual import VirtualTokens

if TYPE_CHECKING:
    from tunesmith.models.model import Model


class Prompt(VirtualTokens):
    """Puts trained embeddings in front of every row, as if words of the model's own making (arXiv 2104.08691)."""

    def peft_config(self, model: Model) -> Any:
        from peft import PromptTuningConfig

        self.refuse_long(model)
        # The decoder of an encoder-decoder gets none: it sees the encoder's.
        return PromptTuningConfig(num_virtual_tokens=self.length, num_transformer_submodules=1)

    def begin(self, model: Model, seed: int) -> None:
        import torch

        module: Any = model.module
        table_PD = module.prompt_encoder["default"].embedding.weight
        if not table_PD.is_meta:
            with torch.no_grad():
                table_PD.copy_(model.inner.get_input_embeddings()(self.first_ids(model, seed))[0])

    def finish(self, model: Model) -> None:
        from tunesmith.models.adapters._injection import inject_prompt

        inject_prompt(model)

    def count(self, model: Model) -> int:
        self.refuse_long(model)
        return self.length * int(model.inner.get_input_embeddings().weight.shape[1])
