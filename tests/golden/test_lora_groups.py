"""LoRA layers computed together: PEFT's outputs and gradients, PEFT's files."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from test_packed_parity import CAUSAL, CPU, ENCODERS, LENGTHS, ids_of, model_of, off
from train_tiny import causal, encoder_decoder, rows, stage, train, weights_of

from tunesmith.models.adapters.lora import Lora
from tunesmith.models.layers.lora_groups import _joined, grouped, lora_groups
from tunesmith.models.model import Model
from tunesmith.models.packing.layout import Layout
from tunesmith.models.packing.rows import hidden_of_rows, packs
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.weights import Weights

SIZES = {"llama": [3, 1, 2, 1], "qwen3": [3, 1, 2, 1], "phi3": [1] * 4, "gpt_neox": [1, 1, 1, 1], "bert": [3, 1, 1, 1]}
"""Layers of each group of one block, as its architecture reads."""


def with_lora(name: str, rank: int = 4, **settings: Any) -> Model:
    model = model_of(name, (CAUSAL | ENCODERS)[name])
    adapter = Lora(rank=rank, alpha=8.0, **settings)
    adapter.attach(model, seed=0)
    with torch.no_grad():
        biases = [part for name, part in model.module.named_parameters() if name.endswith("bias")]
        for parameter in [*model.trainable().values(), *biases]:  # which are zeros at first, and would hide
            parameter.normal_(std=0.2)
    packs(model)
    return model


def learned(model: Model) -> tuple[torch.Tensor, torch.Tensor]:
    model.module.zero_grad()
    layout = Layout(LENGTHS, CPU)
    hidden_ND = hidden_of_rows(model, ids_of(layout), layout)
    wave_ND = torch.sin(torch.arange(hidden_ND.numel(), dtype=torch.float32)).view_as(hidden_ND)
    (hidden_ND.float() * wave_ND).sum().backward()
    return hidden_ND.detach(), torch.cat([weight.grad.float().flatten() for weight in model.trainable().values()])


@pytest.mark.parametrize("name", SIZES)
def test_outputs_and_gradients_are_those_of_peft(name: str) -> None:
    model = with_lora(name)
    expected = learned(model)
    groups = lora_groups(model)
    assert [len(group.layers) for group in groups] == SIZES[name] * 2
    frozen = [layer.base_layer.weight.clone() for group in groups for layer in group.layers]
    with grouped(groups):
        found = learned(model)
        for group in groups:  # one matrix, and no copy of it
            weights = [layer.base_layer.weight for layer in group.layers]
            assert _joined(weights).data_ptr() == weights[0].data_ptr()
    assert off(found[0], expected[0]) <= 3e-6 and off(found[1], expected[1]) <= 5e-6
    again = learned(model)
    assert torch.equal(again[0], expected[0]) and torch.equal(again[1], expected[1])
    after = [layer.base_layer.weight for group in groups for layer in group.layers]
    assert all(torch.equal(*pair) for pair in zip(frozen, after, strict=True))


def test_outputs_are_of_the_states_that_are_read() -> None:
    """A layer that is asked about other states than its neighbours were computes them."""
    model = with_lora("llama")
    query, key, *_ = next(group.layers for group in lora_groups(model) if len(group.layers) == 3)
    one, other = torch.randn(2, 5, 64)
    expected = key(other)
    with grouped(lora_groups(model)), torch.no_grad():
        query(one)
        assert torch.allclose(key(other), expected, atol=1e-5)


def test_in_bf16_they_are_no_worse_than_those_of_peft() -> None:
    exact = learned(with_lora("llama"))[1]
    errors = []
    for together in (False, True):
        model = with_lora("llama")
        weights = Weights(model, torch.bfloat16)
        with weights.halved.computing(CPU):
            groups = lora_groups(model) if together else []
        with grouped(groups), weights.halved.computing(CPU):
            layout = Layout(LENGTHS, CPU)
            hidden_ND = hidden_of_rows(model, ids_of(layout), layout)
        wave_ND = torch.sin(torch.arange(hidden_ND.numel(), dtype=torch.float32)).view_as(hidden_ND)
        (hidden_ND.float() * wave_ND).sum().backward()
        found = torch.cat([master.grad.flatten() for master in weights.masters.values()])
        errors.append(off(found, exact))
    assert errors[1] < 1.1 * errors[0] < 0.1


@pytest.mark.parametrize("settings", [{"dora": True}, {"dropout": 0.1}], ids=str)
def test_what_is_not_plain_is_left_to_peft(settings: dict[str, Any]) -> None:
    assert lora_groups(with_lora("llama", **settings)) == []


def test_encoder_decoders_are_left_to_peft() -> None:
    model = encoder_decoder()
    Lora(rank=4).attach(model, seed=0)
    assert lora_groups(model) == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_in_groups_is_that_of_peft(tmp_path, monkeypatch, precision) -> None:
    from tunesmith.train import loop

    found = {}
    for name in ("together", "apart"):
        if name == "apart":
            monkeypatch.setattr(loop, "lora_groups", lambda model: [])
        model = causal()
        Lora(rank=4).attach(model, seed=0)
        settings = stage(precision=precision, micro_batch="2 rows")
        steps = train(tmp_path / name, model, rows(12), Sft(), train=settings)
        found[name] = [step.loss for step in steps], copy.deepcopy(weights_of(model))
    near = 1e-5 if precision == "fp32" else 2e-2
    assert found["together"][0] == pytest.approx(found["apart"][0], rel=near)
    assert precision == "bf16" or all(
        torch.allclose(weight, found["apart"][1][name], atol=2e-4) for name, weight in found["together"][1].items()
    )
