"""QLoRA: LoRA on a base whose frozen weights are held in 4 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith.models.adapters.lora import Lora

if TYPE_CHECKING:
    from tunesmith.models.model import Model


class Qlora(Lora):
    """LoRA on a base held in NF4, which takes an eighth of the memory of fp32 weights (arXiv 2305.14314).

    What is saved is the adapter alone. Opened again, its base is rounded again in the same way, so that
    what is evaluated and served is what was trained. Merged, the rounded weights become the model's own.
    """

    starts_as_base: ClassVar[bool] = False

    double_quantize: bool = True
    """Holds the scales of the 4-bit weights in 8 bits: 4.13 bits a weight instead of 4.5."""

    def prepare(self, model: Model) -> None:
        from tunesmith.models.nf4 import error, replace

        names = self._rounded(model)
        if any(model.inner.get_submodule(name).weight.is_meta for name in names):
            return  # shapes alone, for an estimate
        replace(model.inner, names, double=self.double_quantize)
        model.notes.append(
            f"{len(names)} linear layers of the base are held in NF4; "
            f"their weights differ from the base's by {error(model.inner):.1%} (root mean square)"
        )

    def _rounded(self, model: Model) -> list[str]:
        """Names of the layers held in NF4: every linear layer that an adapter can reach and that is not trained."""
        from tunesmith.models.layers.reach import linear_layers

        whole = self._whole(model)
        return [name for name, _, _ in linear_layers(model) if name not in whole]

    def of_base(self) -> dict[str, Any]:
        return {"double_quantize": self.double_quantize, "train_also": self.train_also}

    def merge(self, model: Model) -> None:
        from peft import set_peft_model_state_dict

        from tunesmith.models.nf4 import error, restore

        tensors = self.state(model)
        module: Any = model.module
        model.module, model.adapter = module.unload(), None
        model.notes.append(
            "the merged weights are those of the NF4 base the adapter was trained on, unpacked; they differ from "
            f"the original base's by {error(model.inner):.1%} (root mean square) before the update"
        )
        restore(model.inner)
        plain = Lora.model_validate({name: getattr(self, name) for name in Lora.model_fields})
        plain.attach(model, seed=0)
        wrapped: Any = model.module
        set_peft_model_state_dict(wrapped, tensors)
        wrapped.eval()
        plain.merge(model)

    def packed(self, model: Model) -> tuple[int, int, int]:
        from tunesmith.models.layers.reach import linear_layers
        from tunesmith.models.nf4 import packed_bytes

        names = set(self._rounded(model))
        sizes = [inputs * outputs for name, inputs, outputs in linear_layers(model) if name in names]
        taken = sum(packed_bytes(size, double=self.double_quantize) for size in sizes)
        return sum(sizes), taken, max(sizes, default=0)
