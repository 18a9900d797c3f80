"""QLoRA: NF4 as in the paper, a base that is rounded the same way whenever it is opened, and honest merges."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_tiny import JOBS, adapter, close, loss, opened, outputs, peft_opens, shaken, train
from scipy.stats import norm
from torch import nn

from tunesmith.models.load import open_model
from tunesmith.models.nf4 import BLOCK, LEVELS, Nf4Linear, nf4_layers, pack, packed_bytes, unpack


def test_the_levels_are_quantiles_of_the_normal_distribution() -> None:
    """Section 3 of the paper: equal shares of probability on each side of an exact zero, the largest being one."""
    outermost = (1 - 1 / 30 + 1 - 1 / 32) / 2
    steps = torch.linspace
    above = [norm.ppf(share) for share in steps(outermost, 0.5, 9, dtype=torch.float64)[:-1].tolist()]
    below = [-norm.ppf(share) for share in steps(outermost, 0.5, 8, dtype=torch.float64)[:-1].tolist()]
    expected = sorted([*above, 0.0, *below])
    assert [level / max(expected) for level in expected] == pytest.approx(LEVELS, abs=1e-6)


def test_each_weight_goes_to_the_nearest_level_of_its_block() -> None:
    weights = 0.02 * torch.randn(40 * BLOCK, generator=torch.Generator().manual_seed(0))
    weights[:BLOCK] = 0
    codes, magnitudes = pack(weights)
    assert codes.dtype == torch.uint8 and len(codes) == len(weights) // 2
    assert torch.equal(magnitudes, weights.view(-1, BLOCK).abs().amax(dim=1))
    table = torch.tensor(LEVELS)
    for block, size, found in zip(
        weights.view(-1, BLOCK), magnitudes, unpack(codes, magnitudes, torch.float32).view(-1, BLOCK), strict=True
    ):
        nearest = table[(block[:, None] / size.clamp(min=1e-30) - table).abs().argmin(dim=1)]
        assert torch.equal(found, nearest * size)


@pytest.mark.parametrize("double", [False, True])
def test_rounding_loses_what_bitsandbytes_loses(double: bool) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    weight = 0.02 * torch.randn(512, 384, generator=torch.Generator().manual_seed(1))
    layer = nn.Linear(384, 512, bias=False)
    layer.weight.data = weight.clone()
    ours = Nf4Linear(layer, double=double).weight
    codes, state = functional.quantize_4bit(weight, quant_type="nf4", blocksize=64, compress_statistics=double)
    theirs = functional.dequantize_4bit(codes, state)

    def lost(found: torch.Tensor) -> float:
        return float((found - weight).norm() / weight.norm())

    assert lost(ours) == pytest.approx(0.0921, abs=5e-4)
    assert lost(ours) == pytest.approx(lost(theirs), rel=2e-3)
    assert float((ours - theirs).norm() / weight.norm()) < (0.005 if double else 1e-6)


@pytest.mark.parametrize(("double", "bits"), [(True, 4.127), (False, 4.5)])
def test_bits_a_weight(double: bool, bits: float) -> None:
    layer = Nf4Linear(nn.Linear(1024, 1024, bias=False), double=double)
    held = sum(buffer.untyped_storage().nbytes() for buffer in layer.buffers())
    held += sum(weight.untyped_storage().nbytes() for weight in layer.parameters())
    assert 8 * held / 1024**2 == pytest.approx(bits, abs=0.001)
    assert held == packed_bytes(1024**2, double=double)


@pytest.mark.parametrize("sizes", [(64, 96), (7, 9), (1, 1), (130, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_passes_are_those_of_a_linear_layer_with_the_same_weights(sizes: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = Nf4Linear(nn.Linear(*sizes).requires_grad_(False), double=True).to(dtype)
    plain = layer.plain()
    inputs = torch.randn(5, 3, sizes[0], dtype=dtype)
    found, expected = inputs.clone().requires_grad_(), inputs.clone().requires_grad_()
    output, right = layer(found), plain(expected)
    assert torch.equal(output, right) and output.dtype == dtype
    output.square().sum().backward()
    right.square().sum().backward()
    assert found.grad is not None and expected.grad is not None and torch.equal(found.grad, expected.grad)


def test_nothing_unpacked_is_kept_for_the_backward_pass() -> None:
    layer = Nf4Linear(nn.Linear(64, 64), double=True)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        layer(torch.randn(2, 64, requires_grad=True)).sum()
    assert not kept


@pytest.mark.parametrize(("shape", "head"), JOBS)
def test_it_starts_as_the_rounded_base_trains_and_is_reopened_bit_for_bit(bench: Path, shape: str, head: str) -> None:
    part = adapter("qlora", rank=4)
    model = opened(bench, shape, head)
    before, counted = outputs(model), part.count(model)
    held, taken, largest = part.packed(model)
    part.attach(model, seed=0)
    rounded = nf4_layers(model.inner)
    assert held == sum(layer.in_features * layer.out_features for layer in rounded.values())
    assert taken == sum(buffer.nbytes for layer in rounded.values() for buffer in layer.buffers())
    assert largest == max(layer.in_features * layer.out_features for layer in rounded.values())
    assert "NF4" in model.notes[-1]
    base = opened(bench, shape, head)
    for name, layer in rounded.items():
        weight = base.inner.get_submodule(name.replace(".base_layer", "")).weight
        weight.data = layer.weight.T if layer.transposed else layer.weight
    assert close(outputs(model), outputs(base)) and not torch.equal(outputs(base), before)
    own = {name: weight for name, weight in model.trainable().items() if not name.startswith("head.")}
    assert counted == sum(weight.numel() for weight in own.values())
    last = train(shaken(model))
    assert all(weight.grad is not None for weight in own.values())
    model.save(bench / "tuned")
    again = open_model("tuned", workspace=bench)
    assert again.adapter == part
    assert torch.equal(outputs(again), outputs(model)) and loss(again) == last
    part.attach(again, seed=5)
    assert train(again) == train(model)


@pytest.mark.parametrize("shape", ["llama", "gpt2", "bert", "t5"])
@pytest.mark.parametrize("settings", [{}, {"dora": True}, {"scaling": "rslora", "double_quantize": False}], ids=str)
def test_merging_keeps_what_was_trained_and_says_what_was_lost(
    bench: Path, shape: str, settings: dict[str, Any]
) -> None:
    model = opened(bench, shape, "tag" if shape == "bert" else "lm")
    part = adapter("qlora", rank=4, **settings)
    part.attach(model, seed=0)
    train(shaken(model))
    expected = outputs(model)
    part.merge(model)
    assert close(outputs(model), expected) and not nf4_layers(model.inner)
    assert "9." in model.notes[-1] and "NF4" in model.notes[-1]
    model.save(bench / "merged")
    assert torch.equal(outputs(open_model("merged", workspace=bench)), outputs(model))


def test_full_training_merges_it_first(bench: Path) -> None:
    model = opened(bench, "llama")
    adapter("qlora").attach(model, seed=0)
    expected = outputs(shaken(model))
    adapter("full").attach(model, seed=0)
    assert close(outputs(model), expected)
    assert all(weight.is_floating_point() for weight in model.trainable().values())


def test_layers_trained_whole_are_not_rounded(bench: Path) -> None:
    model = opened(bench, "llama")
    part = adapter("qlora", rank=2, train_also=["down_proj", "embeddings"])
    counted = part.count(model)
    part.attach(model, seed=0)
    assert not any("down_proj" in name for name in nf4_layers(model.inner))
    assert counted == sum(weight.numel() for weight in model.trainable().values())
    train(model)
    expected = outputs(model)
    model.save(bench / "tuned")
    again = open_model("tuned", workspace=bench)
    assert torch.equal(outputs(again), expected)
    part.merge(again)
    assert close(outputs(again), expected)


def test_double_quantisation_changes_the_outcome_and_the_memory(bench: Path) -> None:
    def trained(**settings: Any) -> tuple[float, int]:
        model = opened(bench, "llama")
        taken = adapter("qlora", **settings).packed(model)[1]
        adapter("qlora", **settings).attach(model, seed=0)
        return train(model), taken

    twice, once = trained(), trained(double_quantize=False)
    assert twice == trained() and twice[0] != once[0] and twice[1] != once[1]


def test_it_learns_as_lora_does(bench: Path) -> None:
    def learned(kind: str) -> tuple[float, float]:
        model = opened(bench, "llama")
        adapter(kind, rank=8).attach(model, seed=0)
        start = loss(model)
        return start, train(model, steps=30, lr=0.5)

    (first, last), (first_q, last_q) = learned("lora"), learned("qlora")
    assert abs(first_q - first) < 0.02 * first and last < first - 0.3
    assert abs(last_q - last) < 0.1 * (first - last)


def test_its_folder_is_a_lora_that_peft_opens(bench: Path) -> None:
    model = opened(bench, "llama")
    adapter("qlora", rank=4).attach(model, seed=0)
    shaken(model).save(bench / "tuned")
    card = json.loads((bench / "tuned" / "tunesmith.json").read_text())
    assert card["adapter"]["kind"] == "qlora" and card["adapter"]["double_quantize"] is True
    theirs = opened(bench, "llama")
    theirs.module = peft_opens(bench, "llama", "tuned")
    found = float((outputs(theirs) - outputs(model)).norm() / outputs(model).norm())
    assert 1e-4 < found < 0.2, "near, but not the base it was trained on"


def test_training_in_bfloat16_leaves_the_packed_weights_alone(bench: Path) -> None:
    from tunesmith.train.weights import Weights

    model = opened(bench, "t5")
    adapter("qlora", rank=4).attach(model, seed=0)
    before = {name: layer.codes.clone() for name, layer in nf4_layers(model.inner).items()}
    whole = outputs(model)
    with Weights(model, torch.bfloat16).halved.computing(model.device):
        found = outputs(model)
        assert found.dtype == torch.bfloat16 and 0 < float((found.float() - whole).norm() / whole.norm()) < 0.05
        assert math.isfinite(train(model))
    assert all(torch.equal(layer.codes, before[name]) for name, layer in nf4_layers(model.inner).items())
