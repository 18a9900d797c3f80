"""Averaged weights, noise on embeddings and dropout: each against its definition, and resumed bit for bit."""

from __future__ import annotations

import math

import pytest
import torch
from train_tiny import causal, encoder, encoder_decoder, rows, stage, train, weights_of

from tunesmith.errors import ModelError
from tunesmith.models.adapters.full import Full
from tunesmith.models.adapters.lora import Lora
from tunesmith.models.facts import base_facts
from tunesmith.models.layers.native.use import by_kernels, replaceable
from tunesmith.models.memory import estimate
from tunesmith.spec.sections import Regularize
from tunesmith.testing.tiny import tiny_model
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.measure import mean_loss
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.optimizers.adafactor import Adafactor
from tunesmith.train.optimizers.adamw import AdamW
from tunesmith.train.optimizers.adamw8bit import AdamW8bit
from tunesmith.train.optimizers.sgd import Sgd
from tunesmith.train.regularize import dropout, noise
from tunesmith.train.weights import Weights, choose_precision

EXAMPLES = rows(14)
VALIDATION = rows(5, seed=1)
MODELS = {"causal": causal, "encoder": lambda **kw: encoder("classify", **kw), "encoder-decoder": encoder_decoder}


def examples_of(name):
    return rows(14, answers=name == "encoder-decoder")


def objective_of(name):
    return Classify() if name == "encoder" else Sft()


def trained(folder, rule, name="causal", *, drop=0.0, steps=None, **settings):
    model, objective = MODELS[name](dropout=drop), objective_of(name)
    changed = stage(objective=objective, regularize=Regularize(**rule), **settings)
    said = train(folder, model, examples_of(name), objective, train=changed, steps=steps, save_every=0.0)
    return model, said


def same(model, other):
    return all(torch.equal(weight, weights_of(other)[name]) for name, weight in weights_of(model).items())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rule", [{"ema": 0.9}, {"neftune": 5.0}, {"dropout": 0.3}], ids=str)
def test_each_changes_the_outcome(tmp_path, rule, name):
    plain, _ = trained(tmp_path / "plain", {}, name)
    changed, _ = trained(tmp_path / "changed", rule, name)
    again, _ = trained(tmp_path / "again", rule, name)
    assert not same(plain, changed) and same(changed, again)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("rule", [{"ema": 0.9}, {"neftune": 5.0}, {"dropout": 0.3}], ids=str)
def test_resuming_is_bit_equal(tmp_path, rule, precision):
    settings = {"precision": precision, "duration": "3 epochs", "micro_batch": "3 rows"}
    reference, steps = trained(tmp_path / "whole", rule, **settings)
    for stop_after in (1, 5, 11):
        folder = tmp_path / str(stop_after)
        trained(folder, rule, steps=stop_after, **settings)
        torch.manual_seed(99)
        model, rest = trained(folder, rule, **settings)
        assert [step.loss for step in rest] == [step.loss for step in steps[stop_after:]]
        assert same(reference, model)


def average_by_hand(course, decay):
    average = course[0]
    for number, weight in enumerate(course[1:]):
        kept = min(decay, (1 + number) / (10 + number))
        average = kept * average + (1 - kept) * weight
    return average


def test_the_average_equals_its_definition(tmp_path):
    """The course of the weights is that of a plain training; the result is its average."""
    plain, course = causal(), []
    course.append(weights_of(plain))
    for _ in range(8):
        plain = causal()
        train(tmp_path / "plain", plain, EXAMPLES, train=stage(), steps=1, save_every=0.0)
        course.append({name: weight.double() for name, weight in weights_of(plain).items()})
    model, steps = trained(tmp_path / "average", {"ema": 0.3})
    assert len(steps) == 8
    for name, weight in weights_of(model).items():
        expected = average_by_hand([moment[name].double() for moment in course], 0.3)
        torch.testing.assert_close(weight.double(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_average_is_what_is_validated_and_kept(tmp_path, precision):
    model, objective = causal(), Sft()
    settings = stage(regularize=Regularize(ema=0.9), validate_every="2 steps", precision=precision)
    plain = stage(validate_every="2 steps", precision=precision)
    steps = train(tmp_path / "a", model, EXAMPLES, train=settings, validation=VALIDATION)
    others = train(tmp_path / "b", causal(), EXAMPLES, train=plain, validation=VALIDATION)
    assert [step.loss for step in steps] == [step.loss for step in others], "training itself is not changed"
    best = min((step for step in steps if step.validation), key=lambda step: step.validation["loss"])
    computing = Weights(model, choose_precision(precision, model.device)).halved.computing(model.device)
    with computing, by_kernels(model.device, replaceable(model)):  # as a training computes
        assert best.validation["loss"] == mean_loss(model, VALIDATION, objective, rows=4)
    assert best.validation != next(step.validation for step in others if step.number == best.number)
    kept = Checkpoints(tmp_path / "a").best(best.number)
    assert all(torch.equal(kept[name].to(weight.dtype), weight) for name, weight in weights_of(model).items())


def captured(model, alpha, lengths_B, run):
    """What the noise added to the embeddings of one forward pass."""
    table, seen = model.trunk.get_input_embeddings(), []
    with noise(model, alpha, lengths_B):
        hook = table.register_forward_hook(lambda module, inputs, out: seen.append((inputs[0], out.detach())))
        run()
        hook.remove()
    ids, embedded = seen[0]
    return embedded - torch.nn.functional.embedding(ids, table.weight).detach()


@pytest.mark.parametrize("name", MODELS)
def test_noise_is_uniform_and_scaled_by_each_row(name):
    model, objective = MODELS[name](), objective_of(name)
    model.train(True)
    batch = objective.batch(examples_of(name), model)
    packed = batch.tensors.get("lengths_B")
    lengths_B = batch.tensors["mask_BT"].sum(dim=1) if packed is None else packed
    objective.loss(model, batch)  # how the model reads rows is found out the first time
    torch.manual_seed(0)
    added = captured(model, 5.0, lengths_B, lambda: objective.loss(model, batch))
    if packed is not None:
        pieces = added.flatten(0, -2).split(lengths_B.tolist())
    else:
        pieces = [row[:length] for row, length in zip(added, lengths_B.tolist(), strict=True)]
    for piece, length in zip(pieces, lengths_B.tolist(), strict=True):
        largest = 5.0 / math.sqrt(length * 32)
        assert 0.8 * largest < float(piece.abs().max()) <= largest * 1.0001
        # A uniform draw has a third of its largest square as its mean square.
        assert float((piece / largest).square().mean()) == pytest.approx(1 / 3, abs=0.12)


def test_noise_is_for_training_alone():
    model, objective = causal(), Sft()
    batch = objective.batch(EXAMPLES, model)
    model.train(False)
    plain = float(objective.loss(model, batch).sum.detach())
    with noise(model, 5.0, batch.tensors["lengths_B"]):
        assert float(objective.loss(model, batch).sum.detach()) == plain
    model.train(True)
    with noise(model, 5.0, batch.tensors["lengths_B"]):
        assert float(objective.loss(model, batch).sum.detach()) != plain
    assert float(objective.loss(model, batch).sum.detach()) == plain, "the hook is gone"


@pytest.mark.parametrize("name", MODELS)
def test_dropout_equals_a_config_that_says_so(tmp_path, name):
    by_config, _ = trained(tmp_path / "config", {}, name, drop=0.3)
    head = {"dropout": 0.3}
    by_rule, _ = trained(tmp_path / "rule", head, name) if name != "encoder" else (None, None)
    if by_rule is not None:
        assert same(by_config, by_rule)
    off, _ = trained(tmp_path / "off", {"dropout": 0.0}, name, drop=0.3)
    none, _ = trained(tmp_path / "none", {}, name)
    assert name == "encoder" or same(off, none)


def test_dropout_comes_back_and_spares_what_is_not_the_base(tmp_path):
    model = encoder("classify", dropout=0.25)
    Lora(rank=2, dropout=0.125).attach(model, 0)
    of_lora = [m for name, m in model.module.named_modules() if "lora_dropout" in name and hasattr(m, "p")]
    with dropout(model, 0.5):
        shares = [m.p for m in model.inner.modules() if isinstance(m, torch.nn.Dropout) and m not in of_lora]
        assert set(shares) == {0.5} and model.inner.config.hidden_dropout_prob == 0.5
        assert {m.p for m in of_lora} == {0.125} and model.head.dropout.p == 0.25
    assert model.inner.config.hidden_dropout_prob == 0.25
    assert {m.p for m in model.inner.modules() if isinstance(m, torch.nn.Dropout) and m not in of_lora} == {0.25}


def test_dropout_where_there_is_none_is_refused():
    model = causal()
    for module in model.inner.modules():
        vars(module).pop("attention_dropout", None)
    with pytest.raises(ModelError, match="models of type 'llama' have no dropout"), dropout(model, 0.1):
        pass


def test_an_average_is_in_the_memory_estimate(tmp_path):
    facts = base_facts(str(tiny_model(tmp_path, "llama")), workspace=tmp_path)
    plain, averaged = (
        estimate(facts, stage(adapter=Full(), regularize=Regularize(ema=ema)), 16) for ema in (None, 0.99)
    )
    assert averaged.weight_bytes - plain.weight_bytes == 4 * plain.num_trained


@pytest.mark.parametrize(("optimizer", "size"), [(AdamW(), 8), (Sgd(), 4), (AdamW8bit(), 2.03125), (Adafactor(), 0.1)])
def test_the_optimizer_decides_what_it_remembers(tmp_path, optimizer, size):
    facts = base_facts(str(tiny_model(tmp_path, "llama")), workspace=tmp_path)
    found = estimate(facts, stage(adapter=Full(), optimizer=optimizer), 16)
    assert found.optimizer_bytes == int(found.num_trained * size)
