"""Frozen and gradually unfrozen layers: what stands still stands still bit for bit, and resumes do too."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from train_tiny import causal, encoder, rows, stage, train, weights_of

from tunesmith.errors import ModelError
from tunesmith.models.adapters.full import Full
from tunesmith.models.adapters.lora import Lora
from tunesmith.models.facts import base_facts
from tunesmith.models.layers.freeze import freeze
from tunesmith.models.load import open_model
from tunesmith.models.memory import estimate
from tunesmith.spec.quantity import Every
from tunesmith.spec.sections import Freeze
from tunesmith.testing.tiny import tiny_model
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.optimizers.adamw import AdamW

EXAMPLES = rows(14)
EMBEDDINGS = ("embed_tokens", "wte", "wpe", "embeddings.", "shared")
LOWEST = {"llama": "layers.0.", "gpt2": "h.0.", "bert": "encoder.layer.0.", "t5": "encoder.block.0."}
ONE_MORE = Every(1, "epochs")


def opened(folder, shape, adapter=None):
    kind = "classify" if shape == "bert" else "lm"
    path = tiny_model(folder, shape)
    model = open_model(str(path), workspace=folder, head=kind, labels=("a", "b") if kind == "classify" else ())
    (adapter or Full()).attach(model, 0)
    return model


@pytest.mark.parametrize("shape", LOWEST)
@pytest.mark.parametrize("adapter", [Full(), Lora(rank=2)], ids=["full", "lora"])
def test_the_lowest_layer_and_the_embeddings_stand_still(tmp_path, shape, adapter):
    model = opened(tmp_path, shape, adapter)
    before = set(model.trainable())
    by_hand = {name for name in before if LOWEST[shape] in name or any(part in name for part in EMBEDDINGS)}
    assert freeze(model, Freeze(layers=1)) == {}
    assert by_hand and before - set(model.trainable()) == by_hand
    assert freeze(opened(tmp_path / "free", shape, adapter), None) == {}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_frozen_training_equals_one_frozen_by_hand(tmp_path, precision):
    by_hand, model = causal(), causal()
    for name, parameter in by_hand.module.named_parameters():
        parameter.requires_grad_("layers.1." in name or name == "model.norm.weight")
    start = {name: weight.clone() for name, weight in causal().module.state_dict().items()}
    plain = train(tmp_path / "hand", by_hand, EXAMPLES, train=stage(precision=precision))
    steps = train(tmp_path / "rule", model, EXAMPLES, train=stage(precision=precision, freeze=Freeze(layers=1)))
    assert [step.loss for step in steps] == [step.loss for step in plain]
    for name, weight in model.module.state_dict().items():
        assert torch.equal(weight, by_hand.module.state_dict()[name])
        stood = "layers.0." in name or "embed_tokens" in name or "lm_head" in name
        assert torch.equal(weight, start[name].to(weight.dtype)) == stood, name


def test_all_layers_leave_a_linear_probe(tmp_path):
    model = encoder("classify")
    objective = Classify()
    train(tmp_path, model, EXAMPLES, objective, train=stage(objective=objective, freeze=Freeze(layers="all")))
    assert all(name.startswith("head.") for name in model.trainable())


@pytest.mark.parametrize(
    ("name", "stand"),
    [("embed_tokens", 1), ("layers.0.mlp", 3), ("q_proj", 2), ("model.norm.weight", 1), ("self_attn", 8)],
)
def test_names_stand_still(name, stand):
    model = causal()
    before = len(model.trainable())
    freeze(model, Freeze(names=[name]))
    assert before - len(model.trainable()) == stand


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"names": ["q_project"]}, r"called 'q_project' \(did you mean 'q_proj'\?\)(.|\n)*k_proj"),
        ({"names": ["layers.7"]}, "nothing that trains is called 'layers.7'"),
        ({"names": ["proj"]}, "nothing that trains is called 'proj'"),
        ({"layers": 3}, "3 layers are to stand still, and the model has 2"),
        ({"names": ["model", "lm_head"]}, "nothing that trains is called 'lm_head'"),
        ({"names": ["model"]}, "nothing is left that trains"),
        ({"layers": 2, "names": ["norm"]}, "nothing is left that trains"),
        ({"layers": 2, "names": ["norm"], "unfreeze": ONE_MORE}, "nothing is left that trains"),
    ],
)  # fmt: skip
def test_what_cannot_be_frozen_is_refused(rule, said):
    with pytest.raises(ModelError, match=said):
        freeze(causal(), Freeze(**rule))


def test_a_rule_that_says_nothing_is_refused():
    for rule in ({}, {"unfreeze": ONE_MORE}, {"names": ["norm"], "unfreeze": ONE_MORE}):
        with pytest.raises(ValidationError, match="say which layers stand still at first"):
            Freeze(**rule)


def gradual(precision="fp32", every=ONE_MORE):
    return stage(duration="4 epochs", precision=precision, freeze=Freeze(layers="all", unfreeze=every))


def moved_by_epoch(folder, settings):
    """After each epoch of four steps: the layers (-1 the embeddings, 2 the norm) whose weights moved in it."""
    model = causal()
    train(folder, model, EXAMPLES, train=settings, steps=4, save_every=0.0)
    places = {"embed_tokens": -1, "layers.0.": 0, "layers.1.": 1, "model.norm": 2}
    before, seen = weights_of(causal()), []
    for epoch in range(1, 5):
        model = causal()
        if epoch > 1:
            train(folder, model, EXAMPLES, train=settings, steps=4, save_every=0.0)
        else:
            train(folder / "first", model, EXAMPLES, train=settings, steps=4)
        now = {f"module.{name}": parameter.detach().clone() for name, parameter in model.module.named_parameters()}
        seen.append(sorted({place for part, place in places.items() for name, weight in now.items()
                            if part in name and not torch.equal(weight, before[name])}))  # fmt: skip
        before = now
    return seen


def test_one_more_layer_learns_every_epoch(tmp_path):
    assert moved_by_epoch(tmp_path, gradual()) == [[2], [1, 2], [0, 1, 2], [-1, 0, 1, 2]]


def test_how_often_changes_what_learns(tmp_path):
    assert moved_by_epoch(tmp_path, gradual(every=Every(2, "epochs"))) == [[2], [2], [1, 2], [1, 2]]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gradual_training_resumes_bit_equal(tmp_path, precision):
    settings = gradual(precision, Every(3, "steps"))
    reference = causal(dropout=0.2)
    steps = train(tmp_path / "whole", reference, EXAMPLES, train=settings)
    for stop_after in (1, 3, 5, 6, 9, 15):
        folder = tmp_path / str(stop_after)
        train(folder, causal(dropout=0.2), EXAMPLES, train=settings, steps=stop_after, save_every=0.0)
        torch.manual_seed(99)
        model = causal(dropout=0.2)
        rest = train(folder, model, EXAMPLES, train=settings)
        assert [step.loss for step in rest] == [step.loss for step in steps[stop_after:]]
        assert all(torch.equal(weight, weights_of(model)[name]) for name, weight in weights_of(reference).items())


def test_frozen_layers_are_not_decayed(tmp_path):
    settings = stage(
        duration="2 epochs", optimizer=AdamW(lr=1e-2, weight_decay=0.5, l1=0.5),
        freeze=Freeze(layers=2, unfreeze=Every(100, "epochs")),
    )  # fmt: skip
    model = causal()
    train(tmp_path, model, EXAMPLES, train=settings)
    start = causal().module.state_dict()
    assert all(torch.equal(w, start[n]) for n, w in model.module.state_dict().items() if n != "model.norm.weight")


def test_the_memory_estimate_knows_of_it(tmp_path):
    facts = base_facts(str(tiny_model(tmp_path, "llama")), workspace=tmp_path)
    settings = {"adapter": Full(), "duration": "1 epochs"}
    free, frozen = (estimate(facts, stage(**settings, freeze=rule), 64) for rule in (None, Freeze(layers=1)))
    assert frozen.num_trained < free.num_trained
    assert frozen.activation_bytes < free.activation_bytes and frozen.optimizer_bytes < free.optimizer_bytes
    waiting = estimate(facts, stage(**settings, freeze=Freeze(layers=1, unfreeze=ONE_MORE)), 64)
    assert waiting.total_bytes == free.total_bytes, "in the end everything trains"
