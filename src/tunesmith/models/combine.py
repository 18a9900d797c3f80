"""Adapters folded into their base, or several LoRAs made into one.

Every LoRA is taken as the change D = scale * B A of each layer's weights. `linear` adds them up, each
times its weight. `ties` keeps of each change the share `density` of largest magnitude, and of what
disagrees in sign the side with more of it (arXiv 2306.01708). `dare` keeps a random share `density`
and divides by it (arXiv 2311.03099). The last two are PEFT's functions, on whole changes rather than on
A and B apart, where trimming and signs would mean nothing.

Tensors: O outputs, I inputs, R rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from tunesmith.errors import ModelError
from tunesmith.models.adapter_set import AdapterSet
from tunesmith.models.adapters import Adapter
from tunesmith.models.adapters.lora import Lora
from tunesmith.models.load import open_model
from tunesmith.models.model import Model
from tunesmith.models.nf4 import error, restore
from tunesmith.part import ADAPTERS

Method = Literal["linear", "ties", "dare"]


@dataclass(frozen=True)
class Rule:
    """How several changes become one."""

    method: Method = "linear"
    weights: tuple[float, ...] = ()
    """One for each adapter; empty takes their mean."""
    density: float = 0.5
    """The share of each change that `ties` and `dare` keep."""
    seed: int = 0
    """Draws what `dare` keeps."""

    def factors(self, count: int) -> list[float]:
        """What each of `count` changes is multiplied by."""
        # TIES itself takes the mean of those that agree.
        return list(self.weights) or [1.0 if self.method == "ties" else 1 / count] * count


def merge_one(reference: str, *, workspace: Path) -> Model:
    """Opens an adapter and folds it into its base.

    Raises:
        ModelError: it is no adapter, or of a sort that cannot be merged.
    """
    model = open_model(reference, workspace=workspace)
    if model.adapter is None:
        raise ModelError(f"{reference!r} is a whole model already", where=reference, fix="name an adapter")
    cast(Adapter, model.adapter).merge(model)
    return model


def combine(references: Sequence[str], rule: Rule, *, workspace: Path, whole: bool) -> Model:
    """Makes one model of several LoRAs on one base.

    Args:
        references: the adapters.
        rule: how.
        workspace: the folder that holds `runs/`.
        whole: True folds the result into the base; False leaves it a LoRA of the summed rank, which holds a
            `linear` result exactly and the others as well as that rank can.

    Raises:
        ModelError: they do not stand on one base, or are not plain LoRAs with a language head.
    """
    together = AdapterSet(workspace)
    for number, reference in enumerate(references):
        together.add(str(number), reference)
        _refuse_more_than_updates(together.use(str(number)), reference)
    model = together.use("0")
    module: Any = model.module
    names = {number: f"set{number}" if number else "default" for number in range(len(references))}
    ranks = [module.peft_config[name].r for name in names.values()]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(rule.seed)
        changes = {
            layer: _combined([_change(part, names[number]) for number in names], rule)
            for layer, part in model.inner.named_modules()
            if hasattr(part, "lora_A")
        }
    if whole:
        return _folded(model, changes)
    return _as_lora(model, changes, sum(ranks), workspace)


def _refuse_more_than_updates(model: Model, reference: str) -> None:
    part = model.adapter
    reason = None
    if not isinstance(part, Lora):
        reason = f"is a {part.kind if part else 'whole'} adapter"
    elif part.dora:
        reason = "is a DoRA, whose lengths have no sum"
    elif part.train_also:
        reason = f"trained {part.train_also[0]!r} whole"
    elif model.head is not None:
        reason = f"has a {model.head_kind} head of its own"
    if reason:
        raise ModelError(
            f"{reference!r} {reason} and cannot be combined with others",
            where=reference,
            fix="merge it alone, or combine plain LoRAs with a language head",
        )


def _change(layer: Any, name: str) -> Tensor:
    """[O, I] what one LoRA adds to a layer's weights; zeros where it has none."""
    if name not in layer.lora_A:
        return torch.zeros(layer.out_features, layer.in_features)
    change_OI: Tensor = layer.lora_B[name].weight @ layer.lora_A[name].weight * layer.scaling[name]
    return change_OI


def _combined(changes: list[Tensor], rule: Rule) -> Tensor:
    from peft.utils import merge_utils

    weights = torch.tensor(rule.factors(len(changes)))
    combined_OI: Tensor
    if rule.method == "ties":
        combined_OI = merge_utils.ties(changes, weights, rule.density)
    elif rule.method == "dare":
        combined_OI = merge_utils.dare_linear(changes, weights, rule.density)
    else:
        combined_OI = merge_utils.task_arithmetic(changes, weights)
    return combined_OI


def _folded(model: Model, changes: dict[str, Tensor]) -> Model:
    from transformers.pytorch_utils import Conv1D

    module: Any = model.module
    model.module, part, model.adapter = module.unload(), model.adapter, None
    if part is not None and part.kind == "qlora":
        model.notes.append(f"the NF4 base is unpacked; it differs from the original by {error(model.inner):.1%}")
        restore(model.inner)
    with torch.no_grad():
        for name, change_OI in changes.items():
            layer = model.inner.get_submodule(name)
            layer.weight += change_OI.T if isinstance(layer, Conv1D) else change_OI
    return model


def _as_lora(model: Model, changes: dict[str, Tensor], rank: int, workspace: Path) -> Model:
    """The base with one LoRA of that rank, the nearest to the changes (their largest singular values)."""
    first = cast(Lora, model.adapter)
    settings = first.settings() | {"rank": rank, "alpha": float(rank), "scaling": "standard", "dropout": 0.0}
    part = cast(Lora, ADAPTERS.make(settings | {"targets": sorted(changes)}))
    origin = model.origin
    fresh = open_model(
        str(origin.folder) if origin.folder else origin.reference,
        workspace=workspace,
        revision=origin.revision,
        initialize=origin.initialize,
        seed=origin.seed,
    )
    fresh.origin = origin
    part.attach(fresh, seed=0)
    lost = total = 0.0
    for name, change_OI in changes.items():
        layer: Any = fresh.inner.get_submodule(name)
        outputs_OR, values_R, inputs_RI = torch.linalg.svd(change_OI, full_matrices=False)
        kept = min(rank, len(values_R))
        with torch.no_grad():
            roots_R = values_R[:kept].sqrt()
            b_OR, a_RI = layer.lora_B["default"].weight.zero_(), layer.lora_A["default"].weight.zero_()
            b_OR[:, :kept], a_RI[:kept] = outputs_OR[:, :kept] * roots_R, inputs_RI[:kept] * roots_R[:, None]
        lost, total = lost + float(values_R[kept:].square().sum()), total + float(values_R.square().sum())
    share = (lost / total) ** 0.5 if total else 0.0
    fresh.notes.append(f"rank {rank} holds the combined change but for {share:.2%} of it (root of the sum of squares)")
    fresh.train(False)
    return fresh
