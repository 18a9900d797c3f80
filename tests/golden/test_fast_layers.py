"""Layers that a training computes faster than they are written: their outputs and gradients, and what they keep."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_lora_groups import learned
from test_packed_parity import CAUSAL, CPU, ENCODERS, LENGTHS, ids_of, model_of, off
from train_tiny import causal, encoder_decoder, rows, stage, train, weights_of

from tunesmith.models.adapters.lora import Lora
from tunesmith.models.layers import fast
from tunesmith.models.layers.fast import faster
from tunesmith.models.layers.lean_layers import lean_layers, leaner
from tunesmith.models.layers.linear_groups import beside, grouped, joined, linear_groups
from tunesmith.models.model import Model
from tunesmith.models.packing.layout import Layout
from tunesmith.models.packing.rows import hidden_of_rows, packs
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.weights import Weights

GROUPS = {"llama": [3, 2], "qwen2": [3, 2], "qwen3": [3, 2], "gemma": [3, 2], "bert": [3], "gpt2": []}
"""Layers that read the same in each block."""
LEAN = {"llama": 3, "qwen3": 5, "gemma": 3, "bert": 0, "gpt2": 0}
"""Norms and gated layers of each block; beside them causal models with RMSNorm have a last norm."""


def trained(name: str) -> Model:
    """All weights train and none is at a special value, norms and biases included."""
    model = model_of(name, (CAUSAL | ENCODERS)[name])
    model.module.requires_grad_(True)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.module.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    packs(model)
    for unused in set(model.module.parameters()) - set(model.used().values()):
        unused.requires_grad_(False)
    learned_head(model)
    return model


def learned_head(model: Model) -> None:
    """`learned` reads hidden states: what stands above them has no gradient."""
    head = model.inner.get_output_embeddings()
    if head is not None and head.weight is not model.inner.get_input_embeddings().weight:
        head.weight.requires_grad_(False)


def off_each(model: Model, expected: dict[str, torch.Tensor]) -> float:
    """The worst relative error of a weight's gradient."""
    return max(off(weight.grad, expected[name]) for name, weight in model.trainable().items())


@pytest.mark.parametrize("name", [name for name in GROUPS if name in CAUSAL | ENCODERS])
def test_outputs_and_gradients_are_those_of_the_layers_as_written(name: str) -> None:
    model = trained(name)
    hidden, _ = learned(model)
    expected = {name: weight.grad.clone() for name, weight in model.trainable().items()}
    assert [len(group.layers) for group in linear_groups(model)] == GROUPS[name] * 2
    with faster(model):
        found, _ = learned(model)
        assert off(found, hidden) <= 3e-6 and off_each(model, expected) <= 1e-5
    again, _ = learned(model)  # and afterwards everything is as it was
    assert torch.equal(again, hidden)
    assert all(torch.equal(weight.grad, expected[name]) for name, weight in model.trainable().items())


@pytest.mark.parametrize("name", [name for name in LEAN if name in CAUSAL | ENCODERS])
def test_which_layers_are_computed_so_is_measured(name: str) -> None:
    last = 1 if LEAN[name] else 0
    assert len(lean_layers(trained(name))) == 2 * LEAN[name] + last


def test_a_norm_or_gate_of_another_kind_is_left_as_it_is() -> None:
    model = trained("llama")
    block = model.inner.model.layers[0]
    block.mlp.act_fn = torch.nn.Tanh()
    block.input_layernorm.register_forward_hook(lambda module, args, output: output * 1.01)
    changed = {block.mlp, block.input_layernorm}
    found = {module for module, _ in lean_layers(model)}
    assert not changed & found and block.post_attention_layernorm in found


@pytest.mark.parametrize("lora", [False, True])
def test_half_as_much_is_kept_for_the_backward_pass(lora: bool) -> None:
    model = trained("llama")
    if lora:
        Lora(rank=2).attach(model, seed=0)

    def kept() -> int:
        """Bytes of distinct memory, weights aside."""
        held = {}
        weights = {weight.untyped_storage().data_ptr() for weight in model.module.parameters()}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.untyped_storage().data_ptr() not in weights:
                held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        layout = Layout(LENGTHS, CPU)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            hidden_of_rows(model, ids_of(layout), layout)
        return sum(storage.nbytes() for storage in held.values())

    plain = kept()
    with faster(model):
        assert kept() <= 0.66 * plain


def test_parts_that_lie_side_by_side_are_not_copied() -> None:
    whole = torch.randn(5, 7)
    left, right = whole[:, :3], whole[:, 3:]
    assert beside([left, right]).data_ptr() == whole.data_ptr() and torch.equal(beside([left, right]), whole)
    for parts in ([right, left], [left, right.clone()], [left, right[:, :2]], [left]):
        assert torch.equal(beside(parts), torch.cat(parts, dim=1))
    above, below = whole[:2], whole[2:]
    assert joined([above, below]).data_ptr() == whole.data_ptr() and torch.equal(joined([above, below]), whole)
    assert torch.equal(joined([below, above]), torch.cat([below, above]))


def test_in_bf16_they_are_no_worse_than_as_written() -> None:
    model = trained("llama")
    learned(model)
    exact = torch.cat([weight.grad.flatten() for weight in model.trainable().values()])
    errors = []
    for quick in (False, True):
        model = trained("llama")
        weights = Weights(model, torch.bfloat16)
        with weights.halved.computing(CPU):
            scope = faster(model) if quick else leaner([])
        with scope, weights.halved.computing(CPU):
            layout = Layout(LENGTHS, CPU)
            hidden_ND = hidden_of_rows(model, ids_of(layout), layout)
        wave_ND = torch.sin(torch.arange(hidden_ND.numel(), dtype=torch.float32)).view_as(hidden_ND)
        (hidden_ND.float() * wave_ND).sum().backward()
        errors.append(off(torch.cat([master.grad.flatten() for master in weights.masters.values()]), exact))
    assert errors[1] < 1.1 * errors[0] < 0.1


def test_layers_that_stand_still_get_no_gradient() -> None:
    model = trained("llama")
    groups = linear_groups(model)
    frozen = [layer.weight for layer in groups[0].layers]
    for weight in frozen:
        weight.requires_grad_(False)
    with grouped(groups):
        model.module.zero_grad()
        layout = Layout(LENGTHS, CPU)
        hidden_of_rows(model, ids_of(layout), layout).square().sum().backward()
    assert all(weight.grad is None for weight in frozen)
    assert all(layer.weight.grad is not None for group in groups[1:] for layer in group.layers)


def test_encoder_decoders_and_shards_are_left_as_written() -> None:
    model = encoder_decoder()
    model.module.requires_grad_(True)
    assert linear_groups(model) == [] and lean_layers(model) == []
    with faster(trained("llama"), cut=True) as nothing:
        assert nothing is None


@pytest.mark.parametrize("settings", [{}, {"precision": "bf16"}, {"checkpointing": "on"}, {"micro_batch": "2 rows"}])
def test_a_training_is_that_of_the_layers_as_written(tmp_path: Any, monkeypatch: Any, settings: dict[str, Any]) -> None:
    found = {}
    for name in ("fast", "written"):
        if name == "written":
            for measured in ("linear_groups", "lean_layers"):
                monkeypatch.setattr(fast, measured, lambda model: [])
        model = causal()
        steps = train(tmp_path / name, model, rows(12), Sft(), train=stage(**{"precision": "fp32", **settings}))
        found[name] = [step.loss for step in steps], weights_of(model)
    near = 2e-2 if settings.get("precision") == "bf16" else 1e-5
    assert found["fast"][0] == pytest.approx(found["written"][0], rel=near)
    assert not any("forward" in vars(module) for module in model.module.modules())
