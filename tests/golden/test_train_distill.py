"""Distillation equals plain transformers and torch: loss and gradients, on rows of mixed length, however cut."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from train_tiny import PAD, VOCABULARY, causal, encoder_decoder, rows, stage, train, weights_of

from tunesmith.errors import ModelError
from tunesmith.spec.sections import Freeze
from tunesmith.train import readout
from tunesmith.train.loop import mean_loss
from tunesmith.train.objectives.distill import Distill
from tunesmith.train.objectives.sft import Sft

EXAMPLES = rows(9, masked=[2], answers=True)
VOCAB = SimpleNamespace(get_vocab=lambda: {str(number): number for number in range(VOCABULARY)})


def named(model):
    model.tokenizer = VOCAB
    return model


def sure(model):
    """A model that thinks some tokens far likelier than others, as trained ones do."""
    with torch.no_grad():
        model.module.get_output_embeddings().weight.mul_(12)
    return named(model)


def taught(teacher=None, **settings):
    objective = Distill(teacher="./teacher", **settings)
    return objective.taught_by({"./teacher": named(teacher or causal(seed=7, width=48))})


def padded(sequences, value):
    width = max(map(len, sequences))
    return torch.tensor([[*map(int, sequence), *[value] * (width - len(sequence))] for sequence in sequences])


def supervised(model, examples=EXAMPLES):
    """Logits and targets of every trained token, by a padded batch and the model's own forward."""
    ids = padded([row.ids for row in examples], PAD)
    mask = padded([[1] * len(row.ids) for row in examples], 0)
    if model.family == "causal":
        trained = padded([row.trained for row in examples], 0).bool()
        logits = model.module(input_ids=ids, attention_mask=mask).logits
        return logits[:, :-1][trained[:, 1:]], ids[:, 1:][trained[:, 1:]]
    labels = padded([row.answer_ids for row in examples], -100)
    logits = model.module(input_ids=ids, attention_mask=mask, labels=labels).logits
    return logits[labels >= 0], labels[labels >= 0]


def expected_loss(model, teacher, objective):
    logits, targets = supervised(model)
    with torch.no_grad():
        taught_logits, _ = supervised(teacher)
    heat = objective.temperature
    own, other = log_softmax(logits / heat, -1), log_softmax(taught_logits / heat, -1)
    mixed = torch.log((own.exp() + other.exp()) / 2)
    # kl_div(q, p) is KL(p | q).
    apart = {
        "forward": lambda: kl_div(own, other, reduction="sum", log_target=True),
        "reverse": lambda: kl_div(other, own, reduction="sum", log_target=True),
        "jsd": lambda: kl_div(mixed, torch.stack([own, other]), reduction="sum", log_target=True) / 2,
    }[objective.divergence]()
    said = cross_entropy(logits, targets, reduction="sum")
    return ((1 - objective.alpha) * heat**2 * apart + objective.alpha * said) / len(targets)


def gradients(model, loss):
    model.module.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.trainable().items() if weight.grad is not None}


def assert_equal(found, expected, tolerance=1e-5):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        error = float((found[name] - gradient).norm() / gradient.norm().clamp_min(1e-12))
        assert error <= tolerance or float((found[name] - gradient).abs().max()) < 1e-8, f"{name}: {error}"


SETTINGS = [
    {"alpha": 0.0},
    {"alpha": 0.3, "temperature": 2.0},
    {"alpha": 0.3, "temperature": 0.5, "divergence": "reverse"},
    {"alpha": 0.0, "temperature": 3.0, "divergence": "jsd"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("pieces", [None, 3 * VOCABULARY])
def test_causal_equals_plain_torch(monkeypatch, settings, pieces):
    if pieces:
        monkeypatch.setattr(readout, "CHUNK_ELEMENTS", pieces)
    model, teacher = sure(causal()), sure(causal(seed=7, width=48))
    objective = taught(teacher, **settings)
    expected = expected_loss(model, teacher, objective)
    wanted = gradients(model, expected)
    batch = objective.batch(EXAMPLES, model)
    loss = objective.loss(model, batch)
    assert (loss.sum / batch.count).item() == pytest.approx(expected.item(), rel=1e-5)
    assert_equal(gradients(model, loss.sum / batch.count), wanted)
    assert all(weight.grad is None for weight in teacher.module.parameters())


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_encoder_decoder_equals_plain_torch(settings):
    model, teacher = sure(encoder_decoder()), sure(encoder_decoder(seed=7))
    objective = taught(teacher, **settings)
    expected = expected_loss(model, teacher, objective)
    wanted = gradients(model, expected)
    batch = objective.batch(EXAMPLES, model)
    loss = objective.loss(model, batch).sum / batch.count
    # A divergence of 0.002 is a small difference of large logits.
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-7)
    assert_equal(gradients(model, loss), wanted)


def test_a_teacher_that_scales_its_logits_is_still_right():
    from transformers import GraniteConfig, GraniteForCausalLM

    torch.manual_seed(3)
    teacher, model = causal(), named(causal())
    teacher.module = GraniteForCausalLM(
        GraniteConfig(
            vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, logits_scaling=0.25, pad_token_id=PAD,
        )
    )  # fmt: skip
    objective = taught(teacher)
    batch = objective.batch(EXAMPLES, model)
    expected = expected_loss(model, teacher, objective).item()
    assert (objective.loss(model, batch).sum / batch.count).item() == pytest.approx(expected, rel=1e-5)
    # The other way round the student is the one whose logits are computed at once.
    model.module, teacher.module = teacher.module, model.module
    batch = objective.batch(EXAMPLES, model)
    expected = expected_loss(model, teacher, objective)
    wanted = gradients(model, expected)
    loss = objective.loss(model, batch).sum / batch.count
    # A divergence of 0.002 is a small difference of large logits.
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-7)
    assert_equal(gradients(model, loss), wanted)


def test_its_own_teacher_has_nothing_to_say():
    model = named(causal())
    objective = taught(causal(), alpha=0.0)
    batch = objective.batch(EXAMPLES, model)
    loss = objective.loss(model, batch)
    assert abs(loss.sum.item()) < 1e-5
    assert all(float(slope.norm()) < 1e-5 for slope in gradients(model, loss.sum).values())


def test_the_whole_batch_is_what_is_divided_by(tmp_path):
    results = {}
    for micro in ("8 rows", "3 rows", "1 rows", "20 tokens"):
        model = named(causal())
        settings = stage(objective=taught(alpha=0.4), batch="8 rows", micro_batch=micro, duration="3 epochs")
        steps = train(tmp_path / micro, model, rows(13, masked=[1, 8]), taught(alpha=0.4), train=settings)
        results[micro] = [(step.loss, step.metrics["divergence"], step.metrics["supervised"]) for step in steps]
    whole = results.pop("8 rows")
    for found in results.values():
        for step, other in zip(whole, found, strict=True):
            assert other == pytest.approx(step, rel=2e-5)
    for loss, apart, said in whole:
        assert loss == pytest.approx(0.6 * apart + 0.4 * said, rel=1e-5)


@pytest.mark.parametrize(
    "changes", [{"temperature": 2.0}, {"alpha": 0.1}, {"divergence": "reverse"}, {"divergence": "jsd"}, {"teacher": 9}]
)
def test_each_setting_changes_the_outcome(tmp_path, changes):
    def trained(name, seed=7, **settings):
        model, objective = named(causal()), taught(causal(seed=seed), **settings)
        train(tmp_path / name, model, EXAMPLES, objective, train=stage(objective=objective))
        return weights_of(model)

    seed = changes.pop("teacher", 7)
    plain, changed = trained("plain"), trained("changed", seed, **changes)
    assert not all(torch.equal(weight, changed[name]) for name, weight in plain.items())


def test_it_is_not_sft(tmp_path):
    weights = {}
    for name, objective in {"sft": Sft(), "distill": taught(alpha=0.0)}.items():
        model = named(causal())
        train(tmp_path / name, model, EXAMPLES, objective, train=stage(objective=objective))
        weights[name] = weights_of(model)
    assert not all(torch.equal(weight, weights["sft"][name]) for name, weight in weights["distill"].items())


def test_a_student_comes_to_agree_with_its_teacher(tmp_path):
    model, teacher = named(causal()), causal(seed=7)
    objective = taught(teacher, alpha=0.0)
    before = mean_loss(model, EXAMPLES, objective, rows=4)
    train(tmp_path, model, EXAMPLES, objective, train=stage(objective=objective, duration="60 epochs"))
    assert mean_loss(model, EXAMPLES, objective, rows=4) < before / 4


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resuming_is_bit_equal(tmp_path, precision):
    def run(folder, steps=None):
        model = named(causal(dropout=0.2))
        objective = taught(causal(seed=7, dropout=0.5))
        settings = stage(objective=objective, precision=precision, duration="3 epochs")
        return model, train(folder, model, EXAMPLES, objective, train=settings, steps=steps, save_every=0.0)

    whole, steps = run(tmp_path / "whole")
    for stop_after in (1, 5):
        run(tmp_path / str(stop_after), stop_after)
        torch.manual_seed(99)
        model, rest = run(tmp_path / str(stop_after))
        assert [step.loss for step in rest] == [step.loss for step in steps[stop_after:]]
        assert all(torch.equal(weight, weights_of(model)[name]) for name, weight in weights_of(whole).items())


def test_frozen_layers_may_be_kept_beside_a_teacher(tmp_path):
    losses = {}
    for way in ("off", "memory"):
        model, objective = named(causal()), taught()
        settings = stage(objective=objective, freeze=Freeze(layers=1, cache=way), duration="3 epochs")
        losses[way] = [step.loss for step in train(tmp_path / way, model, EXAMPLES, objective, train=settings)]
    assert losses["memory"] == pytest.approx(losses["off"], rel=1e-5)


def test_a_teacher_never_drops_and_never_learns(tmp_path):
    model, teacher = named(causal()), causal(seed=7, dropout=0.9)
    objective = taught(teacher)
    before = weights_of(teacher)
    batch = objective.batch(EXAMPLES, model)
    assert objective.loss(model, batch).sum.item() == objective.loss(model, batch).sum.item()
    train(tmp_path, model, EXAMPLES, objective, train=stage(objective=objective))
    assert not teacher.module.training
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(teacher).items())


def test_never_more_logits_than_a_piece(monkeypatch):
    held = []

    def watched(plain):
        def watching(*given, **named):
            out = plain(*given, **named)
            held.append(out.numel() if out.shape[-1] == VOCABULARY else 0)
            return out

        return watching

    model, objective = named(causal()), taught()
    batch = objective.batch(EXAMPLES, model)
    objective.loss(model, batch)  # how the models compute is measured the first time
    monkeypatch.setattr(readout, "BLOCK_ELEMENTS", 2 * VOCABULARY)
    linear = watched(torch.nn.functional.linear)
    monkeypatch.setattr(readout, "mm", watched(readout.mm))
    monkeypatch.setattr("tunesmith.train.objectives.distill.linear", linear)
    monkeypatch.setattr(torch.nn.functional, "linear", linear)
    objective.loss(model, batch)
    assert batch.num_trained > 8 and max(held) == 2 * VOCABULARY


def test_another_vocabulary_is_refused():
    teacher, model = causal(), named(causal())
    objective = taught(teacher)
    teacher.tokenizer = SimpleNamespace(get_vocab=lambda: {**VOCAB.get_vocab(), "5": 6, "6": 5, "new": 64})
    with pytest.raises(
        ModelError, match=r"\./teacher has another vocabulary: 3 tokens differ, such as '5', which is 6"
    ):
        objective.check(model)


def test_another_kind_of_teacher_is_refused():
    with pytest.raises(ModelError, match="encoder-decoder, and the base is causal"):
        taught(encoder_decoder()).check(named(causal()))


def test_tables_padded_to_other_widths_share_their_ids():
    model, teacher = named(causal()), causal(seed=7)
    expected_objective = taught(teacher, alpha=0.0)
    batch = expected_objective.batch(EXAMPLES, model)
    expected = expected_objective.loss(model, batch).sum.item()
    wider = causal(seed=7)
    wider.module.load_state_dict(teacher.module.state_dict())
    wider.module.resize_token_embeddings(VOCABULARY + 8, mean_resizing=False)
    found = taught(wider, alpha=0.0).loss(model, batch).sum.item()
    assert found == pytest.approx(expected, rel=1e-6)
