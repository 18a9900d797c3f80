"""Losses and gradients equal those of transformers and plain torch, however a batch is cut, padded or ordered."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from train_tiny import PAD, VOCABULARY, causal, encoder, encoder_decoder, rows, stage, train, weights_of

from tunesmith.train import readout
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.measure import mean_loss
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.objectives.pretrain import Pretrain
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.objectives.tag import Tag
from tunesmith.train.optimizers.adamw import AdamW
from tunesmith.train.schedules.constant import Constant

EXAMPLES = rows(7, masked=[2], answers=True)


def padded(sequences, value, more=0):
    width = max(len(sequence) for sequence in sequences) + more
    return torch.tensor([[*map(int, sequence), *[value] * (width - len(sequence))] for sequence in sequences])


def gradients(model, loss):
    model.module.zero_grad()
    if model.head is not None:
        model.head.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.trainable().items() if parameter.grad is not None}


def ours(model, objective, examples=EXAMPLES):
    batch = objective.batch(examples, model)
    loss = objective.loss(model, batch).sum / batch.count
    return loss.item(), gradients(model, loss)


def assert_equal(found, expected, tolerance=1e-5):
    assert found[0] == pytest.approx(expected[0], rel=tolerance)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        error = float((found[1][name] - gradient).norm() / gradient.norm().clamp_min(1e-12))
        # A gradient that is nothing but rounding (a key's bias, say) has no relative error.
        assert error <= tolerance or float((found[1][name] - gradient).abs().max()) < 1e-9, f"{name}: {error}"


@pytest.mark.parametrize("objective", [Sft(), Pretrain()])
def test_causal_equals_transformers(objective):
    model = causal()
    ids = padded([row.ids for row in EXAMPLES], PAD)
    mask = padded([[1] * len(row.ids) for row in EXAMPLES], 0)
    labels = torch.full_like(ids, -100)
    for row, example in enumerate(EXAMPLES):
        trained = torch.from_numpy(example.trained)
        labels[row, : len(trained)][trained] = ids[row, : len(trained)][trained]
    expected = model.module(input_ids=ids, attention_mask=mask, labels=labels).loss
    assert_equal(ours(model, objective), (expected.item(), gradients(model, expected)))


@pytest.mark.parametrize(("blocks", "pieces"), [(100, 3), (4, 3), (3, 1)])
def test_causal_equals_transformers_in_many_pieces(monkeypatch, blocks, pieces):
    model = causal()
    whole = ours(model, Sft())
    monkeypatch.setattr(readout, "BLOCK_ELEMENTS", blocks * VOCABULARY)
    monkeypatch.setattr(readout, "CHUNK_ELEMENTS", pieces * VOCABULARY)
    assert_equal(ours(model, Sft()), whole)


@pytest.mark.parametrize("pieces", [None, 3 * VOCABULARY])
@pytest.mark.parametrize("objective", [Sft(label_smoothing=0.1), Pretrain(label_smoothing=0.6)])
def test_smoothed_causal_loss_equals_plain_torch(monkeypatch, objective, pieces):
    if pieces:
        monkeypatch.setattr(readout, "CHUNK_ELEMENTS", pieces)
    model = causal()
    ids = padded([row.ids for row in EXAMPLES], PAD)
    mask = padded([[1] * len(row.ids) for row in EXAMPLES], 0)
    targets = ids.masked_fill(~padded([row.trained for row in EXAMPLES], 0).bool(), -100)[:, 1:]
    logits = model.module(input_ids=ids, attention_mask=mask).logits[:, :-1]
    smoothing = objective.label_smoothing
    expected = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, label_smoothing=smoothing)
    model.train()
    assert_equal(ours(model, objective), (expected.item(), gradients(model, expected)))


def test_smoothed_decoder_loss_equals_plain_torch():
    model = encoder_decoder()
    ids = padded([row.ids for row in EXAMPLES], PAD)
    mask = padded([[1] * len(row.ids) for row in EXAMPLES], 0)
    labels = padded([row.answer_ids for row in EXAMPLES], -100)
    logits = model.module(input_ids=ids, attention_mask=mask, labels=labels).logits
    expected = cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.2)
    model.train()
    assert_equal(ours(model, Sft(label_smoothing=0.2)), (expected.item(), gradients(model, expected)))


def test_every_position_of_a_prose_row_is_learned():
    examples = rows(3)
    for example in examples:
        example.trained[:] = True
    batch = Pretrain().batch(examples, causal())
    assert batch.count == batch.num_trained == sum(len(example.ids) - 1 for example in examples)


def test_nothing_after_the_last_target_is_computed():
    examples = rows(3, longest=12)
    for example in examples:
        example.trained[:] = False
        example.trained[2] = True
    batch = Sft().batch(examples, causal())
    assert batch.tensors["lengths_B"].tolist() == [2, 2, 2]


def test_encoder_decoder_equals_transformers():
    model = encoder_decoder()
    ids = padded([row.ids for row in EXAMPLES], PAD)
    mask = padded([[1] * len(row.ids) for row in EXAMPLES], 0)
    labels = padded([row.answer_ids for row in EXAMPLES], -100)
    expected = model.module(input_ids=ids, attention_mask=mask, labels=labels).loss
    assert_equal(ours(model, Sft()), (expected.item(), gradients(model, expected)))


def encoded(model, examples=EXAMPLES):
    mask = padded([[1] * len(row.ids) for row in examples], 0)
    return model.module(input_ids=padded([row.ids for row in examples], PAD), attention_mask=mask).last_hidden_state


def mean_pooled(model):
    hidden = encoded(model)
    return torch.stack([hidden[row, : len(example.ids)].mean(0) for row, example in enumerate(EXAMPLES)])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classify_equals_plain_torch(smoothing):
    model = encoder("classify")
    logits = model.head.linear(mean_pooled(model))
    labels = torch.tensor([row.label[0] for row in EXAMPLES])
    expected = cross_entropy(logits, labels, label_smoothing=smoothing)
    assert_equal(ours(model, Classify(label_smoothing=smoothing)), (expected.item(), gradients(model, expected)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_several_labels_equal_plain_torch(smoothing):
    model = encoder("classify", multi_label=True)
    examples = [replace(row, label=((), (0, 2), (1,))[row.label[0]]) for row in EXAMPLES]
    logits = model.head.linear(mean_pooled(model))
    targets = torch.tensor([[float(label in row.label) for label in range(3)] for row in examples])
    expected = binary_cross_entropy_with_logits(logits, targets * (1 - smoothing) + smoothing / 2)
    found = ours(model, Classify(label_smoothing=smoothing), examples)
    assert_equal(found, (expected.item(), gradients(model, expected)))


def test_smoothing_is_for_learning_only():
    model = encoder("classify")
    model.train(False)
    assert ours(model, Classify(label_smoothing=0.3))[0] == ours(model, Classify())[0]
    model = encoder("tag", classes=4)
    model.train(False)
    assert ours(model, Tag(label_smoothing=0.3))[0] == ours(model, Tag())[0]
    model.train()
    assert ours(model, Tag(label_smoothing=0.3))[0] != ours(model, Tag())[0]
    for model in (causal(), encoder_decoder()):
        model.train(False)
        assert ours(model, Sft(label_smoothing=0.3))[0] == ours(model, Sft())[0]
        model.train()
        assert ours(model, Sft(label_smoothing=0.3))[0] != ours(model, Sft())[0]
    model = causal()
    model.train(False)
    assert ours(model, Pretrain(label_smoothing=0.3))[0] == ours(model, Pretrain())[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_tag_equals_plain_torch(smoothing):
    model = encoder("tag", classes=4)
    logits = model.head.linear(encoded(model)).flatten(0, 1)
    tags = padded([row.tags for row in EXAMPLES], -100).flatten()
    expected = cross_entropy(logits, tags, label_smoothing=smoothing)
    assert_equal(ours(model, Tag(label_smoothing=smoothing)), (expected.item(), gradients(model, expected)))


def test_a_model_that_scales_its_logits_is_still_right():
    from transformers import GraniteConfig, GraniteForCausalLM

    model = causal()
    torch.manual_seed(0)
    model.module = GraniteForCausalLM(
        GraniteConfig(
            vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, logits_scaling=4.0, pad_token_id=PAD,
        )
    )  # fmt: skip
    test_ids = padded([row.ids for row in EXAMPLES], -100)
    labels = test_ids.clone()
    for row, example in enumerate(EXAMPLES):
        labels[row, : len(example.trained)][torch.from_numpy(~example.trained)] = -100
    expected = model.module(input_ids=test_ids.clamp_min(0), labels=labels).loss
    assert_equal(ours(model, Sft()), (expected.item(), gradients(model, expected)))


# Independence of how a batch is cut, padded and grouped ------------------------------------------


@pytest.mark.parametrize(
    ("make", "objective"),
    [
        (causal, Sft()),
        (causal, Pretrain()),
        (encoder_decoder, Sft()),
        (lambda: encoder("classify"), Classify()),
        (lambda: encoder("tag", classes=4), Tag()),
    ],
)
def test_micro_batches_do_not_change_the_result(tmp_path, make, objective):
    # The second and last batch of an epoch is short (13 = 8 + 5), and two rows have nothing trained.
    examples = rows(13, masked=[1, 8] if isinstance(objective, Sft) else [], answers=make is encoder_decoder)
    results = {}
    for micro in ("8 rows", "4 rows", "2 rows", "1 rows", "20 tokens"):
        model = make()
        steps = train(
            tmp_path / micro, model, examples, objective,
            # A small eps would turn gradients that are nothing but rounding into whole steps.
            train=stage(objective=objective, batch="8 rows", micro_batch=micro, duration="4 epochs",
                        optimizer=AdamW(lr=1e-2, eps=1e-2)),
        )  # fmt: skip
        results[micro] = (steps, weights_of(model))
    whole, weights = results.pop("8 rows")
    assert len(whole) == 8
    for micro, (steps, others) in results.items():
        for step, other in zip(whole, steps, strict=True):
            assert (step.rows, step.trained, step.tokens) == (other.rows, other.trained, other.tokens)
            assert other.loss == pytest.approx(step.loss, rel=1e-6), micro
            assert other.grad_norm == pytest.approx(step.grad_norm, rel=1e-5), micro
        for name, weight in weights.items():
            error = float((others[name] - weight).norm() / weight.norm().clamp_min(1e-3))
            assert error <= 1e-6, f"{micro} {name}: {error}"


def test_gradients_do_not_depend_on_the_cut():
    model = causal().module.double()
    whole_model = causal()
    whole_model.module = model
    batch = Sft().batch(EXAMPLES, whole_model)
    count = batch.count
    expected = gradients(whole_model, Sft().loss(whole_model, batch).sum / count)
    model.zero_grad()
    for example in EXAMPLES:
        micro = Sft().batch([example], whole_model)
        (Sft().loss(whole_model, micro).sum / count).backward()
    for name, parameter in whole_model.trainable().items():
        assert float((parameter.grad - expected[name]).norm() / expected[name].norm()) <= 1e-6, name


@pytest.mark.parametrize("more", [1, 17])
def test_padding_does_not_change_what_a_decoder_learns(more):
    model, objective = encoder_decoder(), Sft()
    batch = objective.batch(EXAMPLES, model)
    expected = objective.loss(model, batch).sum.item(), gradients(model, objective.loss(model, batch).sum)
    tensors = dict(batch.tensors)
    for name in ("ids_BT", "mask_BT", "answer_ids_BS", "answer_mask_BS"):
        tensors[name] = torch.nn.functional.pad(tensors[name], (0, more))
    batch.tensors = tensors
    loss = objective.loss(model, batch).sum
    assert_equal((loss.item(), gradients(model, loss)), expected, tolerance=2e-6)


@pytest.mark.parametrize("objective", [Sft(), Pretrain()])
def test_validation_loss_does_not_depend_on_the_batch(objective):
    model = causal()
    model.train(False)
    examples = rows(17, masked=[3])
    values = [mean_loss(model, examples, objective, rows=size) for size in (1, 3, 7, 16, 17)]
    values.append(mean_loss(model, examples[::-1], objective, rows=5))
    assert max(values) - min(values) <= 1e-6 * values[0]


def test_weights_of_rows_count_in_sum_and_count():
    examples = rows(2, answers=True)
    model = causal()
    twice = [examples[0], examples[0], examples[1]]
    heavy = [replace(examples[0], weight=2.0), examples[1]]
    assert Sft().batch(heavy, model).count == Sft().batch(twice, model).count
    assert_equal(ours(model, Sft(), heavy), ours(model, Sft(), twice))
    model = encoder("tag", classes=4)
    assert_equal(ours(model, Tag(), heavy), ours(model, Tag(), twice))
    model = encoder("classify")
    assert_equal(ours(model, Classify(), heavy), ours(model, Classify(), twice))
    model = encoder_decoder()
    assert_equal(ours(model, Sft(), heavy), ours(model, Sft(), twice))


def test_a_wrong_normalisation_would_be_far_off():
    # What the tests above must tell apart: the mean of the micro-batches' means.
    model = causal()
    examples = rows(8)
    whole = ours(model, Sft(), examples)[1]
    halves = [ours(model, Sft(), part)[1] for part in (examples[:2], examples[2:])]
    errors = [
        float(((halves[0][name] + halves[1][name]) / 2 - gradient).norm() / gradient.norm())
        for name, gradient in whole.items()
    ]
    assert max(errors) > 1e-2


def test_bf16_stays_near_fp32(tmp_path):
    losses = {}
    for precision in ("fp32", "bf16"):
        model = causal()
        steps = train(tmp_path / precision, model, rows(16), train=stage(precision=precision, duration="8 epochs"))
        losses[precision] = [step.loss for step in steps]
        assert {weight.dtype for weight in weights_of(model).values()} == {torch.float32}, "as they are saved"
    assert losses["bf16"][0] == pytest.approx(losses["fp32"][0], rel=5e-3)
    assert losses["bf16"][-1] == pytest.approx(losses["fp32"][-1], rel=0.1)
    assert losses["bf16"] != losses["fp32"]
    assert all(math.isfinite(loss) for loss in losses["bf16"])


def test_micro_batches_in_bf16_add_up(tmp_path):
    found = []
    plain = {"precision": "bf16", "duration": "1 steps", "batch": "8 rows"}
    for number, cut in enumerate(({}, {"micro_batch": "1 rows"})):
        model = causal()
        settings = stage(optimizer=AdamW(lr=1e-2, betas=(0.0, 0.0), eps=1.0), **plain, **cut)
        train(tmp_path / str(number), model, rows(8), train=settings)
        found.append(weights_of(model))
    start = weights_of(causal())
    moved = torch.cat([(found[0][name] - start[name]).flatten() for name in start])
    apart = torch.cat([(found[0][name] - found[1][name]).flatten() for name in start])
    assert float(apart.norm()) < 0.05 * float(moved.norm())


def test_small_updates_are_not_rounded_away_in_bf16(tmp_path):
    # One step moves a weight by 1e-5, far below bfloat16's spacing; forty of them must add up in the masters.
    model = causal()
    start = weights_of(model)
    train(
        tmp_path, model, rows(4), save_every=0.0,
        train=stage(precision="bf16", duration="40 steps", optimizer=AdamW(lr=1e-5, weight_decay=0.0),
                    schedule=Constant()),
    )  # fmt: skip
    masters = Checkpoints(tmp_path).latest().part("weights")
    for name, weight in start.items():
        assert 2e-4 < float((masters[name] - weight).abs().max()) < 5e-4, name
