"""What the adapters that PEFT computes have in common: put on, gone on with, saved, opened, folded in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ModelError, did_you_mean
from tunesmith.models.adapters import Adapter

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.models.model import Model

_TASK_TYPES = {"causal": "CAUSAL_LM", "encoder": "FEATURE_EXTRACTION", "encoder_decoder": "SEQ_2_SEQ_LM"}
_NAME = "default"
"""What PEFT calls the one adapter of a model."""


class PeftAdapter(Adapter):
    """An adapter of PEFT's, kept in PEFT's format."""

    @abstractmethod
    def peft_config(self, model: Model) -> Any:
        """PEFT's config of this adapter, fitted to the model.

        Raises:
            ModelError: it does not fit.
        """

    def prepare(self, model: Model) -> None:
        """Changes the base before the adapter is put on; nothing for most."""

    def begin(self, model: Model, seed: int) -> None:
        """Sets what is trained to where training starts, where PEFT's own start will not do."""

    def finish(self, model: Model) -> None:
        """Completes the model once the adapter holds its weights; nothing for most."""

    def attach(self, model: Model, seed: int) -> None:
        if model.adapter is not None:
            self.refuse_change(model)
            return
        self._put_on(model, lambda: self.peft_config(model), seed)
        self.begin(model, seed)
        self.finish(model)

    def reopen(self, model: Model, tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
        self._put_on(model, lambda: _read(config), seed=0)
        self._fill(model, _NAME, tensors)
        self.finish(model)
        model.module.eval()

    def join(self, model: Model, name: str, tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
        """Puts a saved adapter beside one of the same sort that the model carries; `switch` puts it to use.

        Raises:
            ValueError: the two cannot stand on one base, or the tensors do not fit.
        """
        import torch

        from tunesmith.models.quiet import quiet

        carried = model.adapter
        if not isinstance(carried, PeftAdapter) or carried.kind != self.kind or carried.of_base() != self.of_base():
            raise ValueError(
                f"the base carries {carried.settings() if carried else 'no adapter'}, beside which a {self.kind} "
                "adapter with these settings cannot stand"
            )
        module: Any = model.module
        with quiet(), torch.random.fork_rng(devices=[]):
            module.add_adapter(name, _read(config), autocast_adapter_dtype=False)
        self._fill(model, name, tensors)
        module.eval()

    def of_base(self) -> dict[str, Any]:
        """What it does to the base itself, on which adapters that share the base agree; nothing for most."""
        return {}

    def _fill(self, model: Model, name: str, tensors: dict[str, Tensor]) -> None:
        from peft import set_peft_model_state_dict

        compare(tensors, self.state(model, name))
        module: Any = model.module
        set_peft_model_state_dict(module, tensors, adapter_name=name)

    def _put_on(self, model: Model, config: Callable[[], Any], seed: int) -> None:
        import torch
        from peft import PeftModel

        from tunesmith.models.quiet import quiet

        self.prepare(model)
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module: Any = model.module
            model.module = PeftModel(module, config(), autocast_adapter_dtype=False)
        model.adapter = self

    def state(self, model: Model, name: str = _NAME) -> dict[str, Tensor]:
        """Its tensors, as PEFT names them in files."""
        from peft import get_peft_model_state_dict

        module: Any = model.module
        state: dict[str, Tensor] = get_peft_model_state_dict(module, adapter_name=name, save_embedding_layers=False)
        return state

    def saved(self, model: Model) -> tuple[dict[str, Tensor], dict[str, Any]]:
        module: Any = model.module
        config = module.peft_config[_NAME].to_dict() | {
            "base_model_name_or_path": model.origin.reference,
            "revision": model.origin.revision,
            "inference_mode": True,
            "task_type": _TASK_TYPES[model.family],
        }
        return self.state(model), config

    def merge(self, model: Model) -> None:
        module: Any = model.module
        model.module = module.merge_and_unload()
        model.adapter = None


def switch(model: Model, name: str) -> None:
    """Puts one of the PEFT adapters that a model carries to use, in place of the one in use."""
    module: Any = model.module
    module.set_adapter(name)


def _read(config: dict[str, Any]) -> Any:
    from peft import PeftConfig

    return PeftConfig.from_peft_type(**{**config, "inference_mode": False})


def compare(tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Holds saved tensors against those the adapter has on this base.

    Raises:
        ValueError: names or shapes differ.
    """
    wrong = sorted(tensors.keys() ^ wanted.keys()) or sorted(
        name for name in wanted if wanted[name].shape != tensors[name].shape
    )
    if wrong:
        raise ValueError(f"{len(wrong)} of its tensors are not those of this base, the first is {wrong[0]!r}")


def named(targets: Sequence[str], names: Collection[str], *, what: str, where: str, also: str = "") -> list[str]:
    """Those of `names` that `targets` mean: whole dotted names, or their endings.

    Raises:
        ModelError: a target means none; the message lists what there is.
    """
    for target in targets:
        if not any(matches(name, target) for name in names):
            known = sorted({name.rpartition(".")[2] for name in names})
            raise ModelError(
                f"the model has no {what} {target!r}{did_you_mean(target, known)}",
                where=where,
                fix=f"use some of: {', '.join(known)}{also}",
            )
    return [name for name in names if any(matches(name, target) for target in targets)]


def matches(name: str, target: str) -> bool:
    """Whether a dotted name is `target` or ends with it."""
    return name == target or name.endswith(f".{target}")


def endings(model: Model, wanted: Collection[str]) -> list[str]:
    """The shortest list of names that PEFT matches to exactly the wanted layers."""
    last = sorted({name.rpartition(".")[2] for name in wanted})
    matched = [name for name, _ in model.inner.named_modules() if name.rpartition(".")[2] in last]
    return last if sorted(matched) == sorted(wanted) else sorted(wanted)
