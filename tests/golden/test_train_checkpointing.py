"""Layers computed again in the backward pass: the same gradients bit for bit, less memory, chosen when needed."""

from __future__ import annotations

import pytest
import torch
from train_tiny import causal, encoder, encoder_decoder, rows, stage, train, weights_of

from tunesmith.errors import ModelError
from tunesmith.models.adapters.full import Full
from tunesmith.models.adapters.lora import Lora
from tunesmith.models.facts import base_facts
from tunesmith.models.memory import estimate, settle_checkpointing
from tunesmith.testing.tiny import tiny_model
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.weights.memory import recomputed

MODELS = {"causal": causal, "encoder": lambda **kw: encoder("classify", **kw), "encoder-decoder": encoder_decoder}


def course(folder, name, *, lora=False, **settings):
    model = MODELS[name](dropout=0.2)
    if lora:
        Lora(rank=2).attach(model, 0)
    objective = Classify() if name == "encoder" else Sft()
    changed = stage(objective=objective, micro_batch="3 rows", **settings)
    return model, train(folder, model, rows(14, answers=name == "encoder-decoder"), objective, train=changed)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", MODELS)
def test_the_training_is_the_same_bit_for_bit(tmp_path, name, lora):
    plain, steps = course(tmp_path / "off", name, lora=lora, checkpointing="off")
    again, others = course(tmp_path / "on", name, lora=lora, checkpointing="on")
    assert [(s.loss, s.grad_norm) for s in steps] == [(s.loss, s.grad_norm) for s in others]
    assert all(torch.equal(weight, weights_of(again)[key]) for key, weight in weights_of(plain).items())
    assert not again.inner.is_activation_checkpointing, "it is switched off afterwards"


def kept_bytes(model, wanted):
    """What the forward pass keeps for the backward pass."""
    batch, kept = Sft().batch(rows(14), model), {}
    model.train(True)
    Sft().loss(model, batch)

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with recomputed(model, wanted), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        Sft().loss(model, batch)
    return sum(kept.values())


def test_less_is_kept():
    assert kept_bytes(causal(width=96), True) < 0.6 * kept_bytes(causal(width=96), False)


@pytest.mark.parametrize("shape", ["llama", "bert", "t5"])
def test_auto_turns_it_on_only_when_a_step_would_not_fit(tmp_path, shape):
    facts = base_facts(str(tiny_model(tmp_path, shape)), workspace=tmp_path)
    objective = Classify() if shape == "bert" else Sft()
    wanted = stage(objective=objective, adapter=Full(), batch="64 rows", checkpointing="auto")
    plain, less = (estimate(facts, wanted.model_copy(update={"checkpointing": way}), 100) for way in ("off", "on"))
    assert less.activation_bytes < 0.95 * plain.activation_bytes
    assert less.flops_per_token > plain.flops_per_token, "what is computed again takes time"
    fits, found = settle_checkpointing(facts, wanted, 100, plain.total_bytes)
    assert fits.checkpointing == "off" and found == plain
    tight, found = settle_checkpointing(facts, wanted, 100, plain.total_bytes - 1)
    assert tight.checkpointing == "on" and found == less
    for written in ("on", "off"):
        kept, _ = settle_checkpointing(facts, wanted.model_copy(update={"checkpointing": written}), 100, 0)
        assert kept.checkpointing == written


def test_a_training_goes_on_where_other_memory_is_free(tmp_path):
    def run(way, steps=None):
        model = causal(dropout=0.2)
        return model, train(tmp_path, model, rows(14), train=stage(checkpointing=way), steps=steps, save_every=0.0)

    reference, _ = course(tmp_path / "whole", "causal", duration="2 epochs", checkpointing="off")
    _, first = run("off", steps=3)
    _, rest = run("on")
    assert [step.number for step in first + rest] == list(range(1, 9)) and reference


def test_an_architecture_that_cannot_is_refused():
    model = causal()
    model.inner.supports_gradient_checkpointing = False
    with pytest.raises(ModelError, match="models of type 'llama' cannot compute"), recomputed(model, True):
        pass
