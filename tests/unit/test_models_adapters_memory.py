"""What an adapter is said to take before anything is opened is what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_tiny import adapter, opened

from tunesmith.models.adapters import Adapter
from tunesmith.models.facts import base_facts
from tunesmith.models.memory import Estimate, estimate
from tunesmith.part import OBJECTIVES
from tunesmith.spec.sections import Train

ADAPTERS: list[dict[str, Any]] = [
    {"kind": "full"},
    {"kind": "lora", "rank": 4},
    {"kind": "lora", "rank": 4, "dora": True, "scaling": "rslora"},
    {"kind": "lora", "rank": 4, "train_also": ["norm"]},
    {"kind": "qlora", "rank": 4},
    {"kind": "qlora", "rank": 4, "dora": True, "double_quantize": False},
    {"kind": "ia3"},
    {"kind": "prefix", "length": 5},
    {"kind": "prompt", "length": 5, "init": "text", "text": "words"},
    {"kind": "bottleneck", "size": 6},
    {"kind": "bottleneck", "size": 6, "after": "feedforward"},
]
NORMS = {"llama": "norm", "gpt2": "ln_f", "bert": "LayerNorm", "t5": "final_layer_norm"}
HEADS = {"lm": "sft", "classify": "classify"}
CASES = [
    (settings, shape, head)
    for settings in ADAPTERS
    for shape in NORMS
    for head in HEADS
    if not (shape == "bert" and head == "lm")
    and not (settings["kind"] == "prefix" and (shape == "bert" or (shape == "t5" and head == "classify")))
]


def part(settings: dict[str, Any], shape: str) -> Adapter:
    named = {"train_also": [NORMS[shape]]} if "train_also" in settings else {}
    return adapter(**settings | named)


def estimated(bench: Path, chosen: Adapter, shape: str, head: str, **more: Any) -> Estimate:
    objective = OBJECTIVES.make(HEADS[head])
    stage = Train.model_validate({"objective": objective, "adapter": chosen, "precision": "fp32", **more})
    return estimate(base_facts(shape, workspace=bench), stage, 32)


@pytest.mark.parametrize(("settings", "shape", "head"), CASES, ids=str)
def test_counts_and_bytes_are_those_of_what_is_attached(
    bench: Path, settings: dict[str, Any], shape: str, head: str
) -> None:
    chosen = part(settings, shape)
    found = estimated(bench, chosen, shape, head)
    model = opened(bench, shape, head)
    counted = chosen.count(model)
    chosen.attach(model, seed=0)
    trained = {name: weight for name, weight in model.trainable().items() if not name.startswith("head.")}
    assert found.num_trained == counted == sum(weight.numel() for weight in trained.values())
    held = sum(weight.nbytes for weight in model.module.parameters())
    # What is packed lies in buffers beside the parameters; position tables and the like lie there in every model.
    plain = sum(buffer.nbytes for buffer in opened(bench, shape, head).module.buffers())
    assert found.weight_bytes == held + sum(buffer.nbytes for buffer in model.module.buffers()) - plain
    assert found.gradient_bytes == 4 * counted
    assert found.activation_bytes > 0 and found.flops_per_token > 0


def test_a_packed_base_takes_an_eighth(bench: Path) -> None:
    lora, qlora = (estimated(bench, adapter(kind, rank=2), "llama", "lm") for kind in ("lora", "qlora"))
    linears = 2 * (64 * 64 * 2 + 64 * 32 * 2 + 64 * 96 * 3)
    saved = lora.weight_bytes - qlora.weight_bytes
    assert saved == pytest.approx(linears * (4 - 4.127 / 8), rel=0.02)
    assert qlora.activation_bytes - lora.activation_bytes == 64 * 96 * 4, "the largest layer, unpacked"


def test_virtual_tokens_need_memory_as_others_do(bench: Path) -> None:
    few, many = (estimated(bench, adapter("prompt", length=length), "llama", "lm") for length in (2, 40))
    assert many.flops_per_token > 1.5 * few.flops_per_token
    assert many.activation_bytes > few.activation_bytes


@pytest.mark.parametrize("kind", ["lora", "qlora", "ia3", "prefix", "prompt", "bottleneck"])
def test_bfloat16_is_estimated_too(bench: Path, kind: str) -> None:
    whole, half = (estimated(bench, adapter(kind), "llama", "lm", precision=name) for name in ("fp32", "bf16"))
    assert half.activation_bytes < whole.activation_bytes
    assert half.num_trained == whole.num_trained


def test_nothing_is_allocated(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    buffer = torch.nn.Module.register_buffer

    def watched(self: Any, name: str, tensor: Any, *args: Any, **more: Any) -> None:
        made.append(0 if tensor is None or tensor.is_meta else tensor.nbytes)
        buffer(self, name, tensor, *args, **more)

    monkeypatch.setattr(torch.nn.Module, "register_buffer", watched)
    estimated(bench, adapter("qlora"), "llama", "lm")
    assert sum(made) < 10_000, "no weight was packed for an estimate"
