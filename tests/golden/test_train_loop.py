"""The loop against plain torch loops: AdamW, schedules and clipping, PEFT's LoRA, and pinned first losses."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from train_tiny import PAD, causal, encoder, encoder_decoder, rows, stage, train, weights_of

from tunesmith.errors import DataError, ModelError, NonFinite
from tunesmith.spec.quantity import Stretch
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.objectives.pretrain import Pretrain
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.objectives.tag import Tag
from tunesmith.train.optimizers.adamw import AdamW
from tunesmith.train.order.batches import Batches
from tunesmith.train.schedules.constant import Constant
from tunesmith.train.schedules.cosine import Cosine
from tunesmith.train.schedules.linear import Linear
from tunesmith.train.schedules.polynomial import Polynomial
from tunesmith.train.schedules.restarts import Restarts

EXAMPLES = rows(14)


def loss_by_transformers(module, examples):
    width = max(len(row.ids) for row in examples)
    ids = torch.full((len(examples), width), PAD)
    labels = torch.full((len(examples), width), -100)
    mask = torch.zeros((len(examples), width), dtype=torch.long)
    for place, row in enumerate(examples):
        length = len(row.ids)
        ids[place, :length] = torch.from_numpy(row.ids.astype(np.int64))
        mask[place, :length] = 1
        trained = torch.from_numpy(row.trained)
        labels[place, :length][trained] = ids[place, :length][trained]
    return module(input_ids=ids, attention_mask=mask, labels=labels).loss


def plain_loop(module, settings, curve, *, warmup, steps, decay, clip):
    """What a textbook would write."""
    spared = [p for p in module.parameters() if p.requires_grad and p.ndim < 2]
    others = [p for p in module.parameters() if p.requires_grad and p.ndim >= 2]
    optimizer = torch.optim.AdamW(
        [{"params": others, "weight_decay": decay}, {"params": spared, "weight_decay": 0.0}],
        lr=settings.optimizer.lr, betas=(0.8, 0.95), eps=1e-6, foreach=False, fused=False,
    )  # fmt: skip
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (step + 1) / (warmup + 1) if step < warmup else curve((step - warmup) / (steps - warmup)),
    )
    order = Batches([len(row.ids) for row in EXAMPLES], batch=settings.batch, seed=settings.seed)
    module.train()
    losses, norms, rates = [], [], []
    for number, (_, _, micros) in enumerate(order.steps_from(0, 0)):
        if number == steps:
            return losses, norms, rates
        loss = loss_by_transformers(module, [EXAMPLES[row] for micro in micros for row in micro])
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_([*others, *spared], clip or math.inf).item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    raise AssertionError("no steps")


def half_cosine(p):
    return 0.5 * (1 + math.cos(math.pi * p))


@pytest.mark.parametrize(
    ("schedule", "curve", "warmup", "decay", "clip"),
    [
        (Cosine(warmup=Stretch(3, "steps")), half_cosine, 3, 0.1, 0.5),
        (Linear(warmup=Stretch(10, "%")), lambda p: 1 - p, 2, 0.0, None),
        (Constant(warmup=Stretch(0, "steps")), lambda p: 1.0, 0, 0.3, 2.0),
        (
            Constant(warmup=Stretch(2, "steps"), cooldown=Stretch(25, "%")),
            lambda p: min(1.0, (1 - p) * 18 / 5),
            2,
            0.0,
            1.0,
        ),
        (Polynomial(power=3.0, warmup=Stretch(0, "steps")), lambda p: (1 - p) ** 3, 0, 0.0, 1.0),
        (Restarts(cycles=2, warmup=Stretch(1, "epochs")), lambda p: half_cosine(p * 2 % 1.0), 4, 0.01, 1.0),
    ],
)
def test_adamw_schedule_and_clip_equal_a_plain_loop(tmp_path, schedule, curve, warmup, decay, clip):
    optimizer = AdamW(lr=3e-3, betas=(0.8, 0.95), eps=1e-6, weight_decay=decay, clip=clip)
    settings = stage(optimizer=optimizer, schedule=schedule, duration="20 steps", micro_batch="2 rows", seed=4)
    plain, model = causal(), causal()
    losses, norms, rates = plain_loop(plain.module, settings, curve, warmup=warmup, steps=20, decay=decay, clip=clip)
    steps = train(tmp_path, model, EXAMPLES, train=settings)
    assert [step.lr for step in steps] == pytest.approx(rates, rel=1e-12)
    assert [step.loss for step in steps] == pytest.approx(losses, rel=1e-5)
    assert [step.grad_norm for step in steps] == pytest.approx(norms, rel=1e-4)
    assert clip is None or any(norm > clip for norm in norms), "clipping must have something to do here"
    expected = weights_of(plain)
    for name, weight in weights_of(model).items():
        assert float((weight - expected[name]).norm() / expected[name].norm()) <= 1e-4, name


def test_lora_equals_peft_in_a_plain_loop(tmp_path):
    from peft import LoraConfig, get_peft_model

    def adapted():
        model = causal()
        torch.manual_seed(7)
        config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
        with warnings.catch_warnings():  # PEFT 0.21 reads a property that transformers 5 calls deprecated
            warnings.simplefilter("ignore", FutureWarning)
            model.module = get_peft_model(model.module, config)
        return model

    optimizer = AdamW(lr=3e-3, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1, clip=1.0)
    settings = stage(optimizer=optimizer, schedule=Cosine(warmup=Stretch(2, "steps")), duration="20 steps")
    plain, model = adapted(), adapted()
    frozen = {name: p.detach().clone() for name, p in model.module.named_parameters() if not p.requires_grad}
    assert all("lora_" in name for name in model.trainable())
    losses, norms, _ = plain_loop(plain.module, settings, half_cosine, warmup=2, steps=20, decay=0.1, clip=1.0)
    steps = train(tmp_path, model, EXAMPLES, train=settings)
    assert [step.loss for step in steps] == pytest.approx(losses, rel=1e-5)
    assert [step.grad_norm for step in steps] == pytest.approx(norms, rel=1e-4)
    expected = weights_of(plain)
    for name, weight in weights_of(model).items():
        assert float((weight - expected[name]).norm() / expected[name].norm()) <= 1e-4, name
    assert all(torch.equal(p, frozen[n]) for n, p in model.module.named_parameters() if not p.requires_grad)


def test_weight_decay_spares_vectors(tmp_path):
    model = encoder("classify")
    groups = AdamW(lr=1e-3, weight_decay=0.5).build(weights := dict(model.trainable())).param_groups
    decay = {id(weight): group["weight_decay"] for group in groups for weight in group["params"]}
    for name, weight in weights.items():
        assert decay[id(weight)] == (0.0 if name.endswith("bias") or "LayerNorm" in name else 0.5), name


def test_a_head_learns_faster_by_its_factor(tmp_path):
    """The first step of Adam moves each weight by its learning rate, whatever the gradient."""
    moved = {}
    for factor in (1.0, 7.0):
        model = encoder("classify")
        before = {name: weight.clone() for name, weight in weights_of(model).items()}
        optimizer = AdamW(lr=1e-3, weight_decay=0.0, eps=1e-20, clip=None, head=factor)
        settings = stage(
            objective=Classify(), duration="1 steps", optimizer=optimizer, schedule=Constant(warmup=Stretch(0, "steps"))
        )
        train(tmp_path / str(factor), model, rows(8), Classify(), train=settings)
        moved[factor] = {name: float((weight - before[name]).abs().max()) for name, weight in weights_of(model).items()}
    for name, distance in moved[1.0].items():
        assert moved[7.0][name] == pytest.approx(distance * (7.0 if name.startswith("head.") else 1.0), rel=1e-3), name


PINNED = Path(__file__).with_name("train_losses.json")
OBJECTIVES = {
    "pretrain": (causal, Pretrain()),
    "sft": (causal, Sft()),
    "sft encoder-decoder": (encoder_decoder, Sft()),
    "classify": (lambda **kw: encoder("classify", **kw), Classify(label_smoothing=0.1)),
    "classify several": (lambda **kw: encoder("classify", multi_label=True, **kw), Classify()),
    "tag": (lambda **kw: encoder("tag", classes=4, **kw), Tag()),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_first_ten_losses(tmp_path, name):
    make, objective = OBJECTIVES[name]
    examples = rows(14, answers=make is encoder_decoder, prose=name == "pretrain")
    steps = train(
        tmp_path, make(dropout=0.1), examples, objective,
        train=stage(objective=objective, duration="10 steps", micro_batch="3 rows", optimizer=AdamW(lr=3e-3, head=1.0)),
    )  # fmt: skip
    assert [step.loss for step in steps] == pytest.approx(json.loads(PINNED.read_text())[name], rel=2e-4)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_learns(tmp_path, name):
    make, objective = OBJECTIVES[name]
    settings = stage(objective=objective, duration="40 epochs", optimizer=AdamW(lr=1e-2, head=1.0))
    steps = train(tmp_path, make(), rows(8, answers=make is encoder_decoder), objective, train=settings)
    assert steps[-1].loss < 0.6 * steps[0].loss
    if "accuracy" in steps[-1].metrics and name != "classify several":
        assert steps[-1].metrics["accuracy"] > steps[0].metrics["accuracy"]


def test_what_a_step_says(tmp_path):
    steps = train(tmp_path, causal(), EXAMPLES, validation=rows(3, seed=1))
    assert [step.number for step in steps] == list(range(1, 9)) and {step.total for step in steps} == {8}
    assert [step.epoch for step in steps] == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
    assert sum(step.rows for step in steps[:4]) == 14
    assert sum(step.trained for step in steps[:4]) == sum(int(row.trained[1:].sum()) for row in EXAMPLES)
    assert steps[-1].tokens == 2 * sum(len(row.ids) for row in EXAMPLES)
    assert [step.number for step in steps if step.validation] == [4, 8]
    assert [step.seconds for step in steps] == sorted(step.seconds for step in steps)


def test_the_best_weights_are_the_result(tmp_path):
    seen = {}
    model = causal()
    figures = iter([3.0, 1.0, 2.0])

    def validate():
        seen[len(seen) + 1] = weights_of(model)
        return {"loss": next(figures)}

    train(tmp_path, model, EXAMPLES, train=stage(duration="3 epochs"), validate=validate)
    assert all(torch.equal(weight, seen[2][name]) for name, weight in weights_of(model).items())
    assert not model.module.training


def test_training_by_the_clock_ends(tmp_path):
    steps = train(tmp_path, causal(), EXAMPLES, train=stage(duration="1 s"))
    assert 1.0 <= steps[-1].seconds < 5.0 and steps[-2].seconds < 1.0
    assert train(tmp_path, causal(), EXAMPLES, train=stage(duration="1 s")) == []


# What goes wrong ---------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_names_its_rows(tmp_path):
    model = causal()
    with torch.no_grad():
        model.module.model.embed_tokens.weight[5] = float("nan")
    with pytest.raises(NonFinite, match=r"row-\d+(.|\n)*the loss of step 1 is not finite(.|\n)*fix: look at these"):
        train(tmp_path, model, EXAMPLES)
    assert not list(tmp_path.glob("step-*"))


def test_a_gradient_that_is_not_finite_changes_no_weight(tmp_path):
    model = causal()
    before = weights_of(model)
    model.module.model.embed_tokens.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NonFinite, match="the gradient of step 1"):
        train(tmp_path, model, EXAMPLES)
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(model).items())


def test_a_batch_with_nothing_to_learn_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"row-2(.|\n)*nothing to learn from"):
        train(tmp_path, causal(), rows(4, masked=[0, 1, 2, 3]))
    with pytest.raises(DataError, match="no rows"):
        train(tmp_path, causal(), [])


@pytest.mark.parametrize(
    ("make", "objective", "said"),
    [
        (lambda: encoder("classify"), Pretrain(), "classify or tag"),
        (encoder_decoder, Pretrain(), "sft"),
        (lambda: encoder("classify"), Sft(), "causal or encoder-decoder"),
    ],
)
def test_a_base_that_cannot_learn_this_way_is_refused(tmp_path, make, objective, said):
    with pytest.raises(ModelError, match=said):
        train(tmp_path, make(), EXAMPLES, objective)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_learns_the_same_and_resumes(tmp_path, precision):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    settings = stage(precision=precision, duration="4 epochs")
    losses = [step.loss for step in train(tmp_path / "cpu", causal(), EXAMPLES, train=settings)]
    model = causal()
    model.to("cuda")
    first = train(tmp_path / "gpu", model, EXAMPLES, train=settings, steps=5, save_every=0.0)
    model = causal()
    model.to("cuda")
    rest = train(tmp_path / "gpu", model, EXAMPLES, train=settings)
    assert [step.loss for step in first + rest] == pytest.approx(losses, rel=1e-3 if precision == "fp32" else 5e-2)
