"""Optimizers against torch's own on the same gradients; what they share: groups, decay, L1, heads; resuming."""

from __future__ import annotations

import builtins
import math

import pytest
import torch
from train_tiny import causal, encoder, rows, stage, train, weights_of

from tunesmith.errors import MissingDependency
from tunesmith.part import OPTIMIZERS
from tunesmith.spec.quantity import Stretch
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.optimizers import shrink
from tunesmith.train.optimizers.adafactor import Adafactor
from tunesmith.train.optimizers.adam import Adam
from tunesmith.train.optimizers.adamw import AdamW
from tunesmith.train.optimizers.adamw8bit import AdamW8bit
from tunesmith.train.optimizers.sgd import Sgd
from tunesmith.train.schedules.constant import Constant

EXAMPLES = rows(14)


def weights(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return {
        "module.a": torch.randn(24, 16, generator=draw).requires_grad_(),
        "module.norm": torch.randn(16, generator=draw).requires_grad_(),
        "head.linear": torch.randn(3, 16, generator=draw).requires_grad_(),
    }


def course(optimizer, parameters, *, steps=12, move=None):
    """Follows gradients drawn from a seed; returns the weights."""
    draw = torch.Generator().manual_seed(7)
    for number in range(steps):
        for weight in parameters.values():
            weight.grad = torch.randn(weight.shape, generator=draw)
        lr = 1e-2 * (1 - number / steps)
        if move is None:
            for group in optimizer.param_groups:
                group["lr"] = lr * group.get("rate", 1.0)
            optimizer.step()
        else:
            move(optimizer, lr)
    return parameters


def by_torch(kind, decay, **settings):
    """A textbook's optimizer: matrices decayed, vectors not, the head three times faster."""
    parameters = weights()
    groups = [
        {"params": [parameters["module.a"]], "weight_decay": decay, "rate": 1.0},
        {"params": [parameters["module.norm"]], "weight_decay": 0.0, "rate": 1.0},
        {"params": [parameters["head.linear"]], "weight_decay": decay, "rate": 3.0},
    ]
    return course(kind(groups, lr=1e-2, **settings), parameters)


OPTIM = torch.optim
CASES = {
    "adamw": (AdamW(betas=(0.8, 0.9), eps=1e-6, weight_decay=0.3), OPTIM.AdamW, {"betas": (0.8, 0.9), "eps": 1e-6}),
    "adam": (Adam(betas=(0.8, 0.9), eps=1e-6, weight_decay=0.3), OPTIM.Adam, {"betas": (0.8, 0.9), "eps": 1e-6}),
    "sgd": (Sgd(momentum=0.0, weight_decay=0.3), OPTIM.SGD, {}),
    "momentum": (Sgd(momentum=0.7, weight_decay=0.3), OPTIM.SGD, {"momentum": 0.7}),
    "nesterov": (Sgd(momentum=0.7, nesterov=True), OPTIM.SGD, {"momentum": 0.7, "nesterov": True}),
    "adafactor": (
        Adafactor(beta2_decay=-0.6, eps=0.1, weight_decay=0.3),
        OPTIM.Adafactor,
        {"beta2_decay": -0.6, "eps": (None, 0.1)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name):
    part, kind, settings = CASES[name]
    part = type(part).model_validate({**dict(part), "lr": 1e-2, "head": 3.0})
    parameters = weights()
    found = course(part.build(parameters), parameters, move=part.move)
    for weight, expected in zip(found.values(), by_torch(kind, part.weight_decay, **settings).values(), strict=True):
        torch.testing.assert_close(weight, expected, rtol=1e-5, atol=1e-7)


SETTINGS = [
    (Adam, "betas", (0.5, 0.9)),
    (Adam, "eps", 0.1),
    (Adam, "weight_decay", 0.3),
    (AdamW, "betas", (0.5, 0.9)),
    (AdamW, "eps", 0.1),
    (AdamW, "weight_decay", 0.3),
    (AdamW8bit, "betas", (0.5, 0.9)),
    (AdamW8bit, "eps", 0.1),
    (AdamW8bit, "weight_decay", 0.3),
    (Sgd, "momentum", 0.2),
    (Sgd, "nesterov", True),
    (Sgd, "weight_decay", 0.3),
    (Adafactor, "beta2_decay", -0.3),
    (Adafactor, "eps", 10.0),
    (Adafactor, "weight_decay", 0.3),
    *[(kind, name, value) for kind in (Adam, AdamW, AdamW8bit, Sgd, Adafactor)
      for name, value in (("lr", 3e-2), ("head", 2.0), ("l1", 0.1), ("clip", 1e-3), ("layer_decay", 0.5))],
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "value"), SETTINGS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_every_setting_changes_the_training(tmp_path, kind, name, value):
    def trained(folder, **settings):
        model = encoder("classify")
        objective = Classify()
        # Two steps of different gradients: clipping's scale is forgotten by Adam's first step, and by equal ones.
        changed = stage(objective=objective, duration="3 steps", optimizer=kind(**{"lr": 1e-2, **settings}))
        train(tmp_path / folder, model, EXAMPLES, objective, train=changed)
        return weights_of(model)

    plain, changed = trained("plain"), trained("changed", **{name: value})
    assert any(not torch.equal(weight, changed[key]) for key, weight in plain.items())


@pytest.mark.parametrize("kind", [AdamW, Adam, AdamW8bit, Sgd, Adafactor])
def test_every_optimizer_spares_norms_and_biases(kind):
    model = encoder("classify")
    part = kind(lr=1e-3, weight_decay=0.5, l1=0.25)
    groups = part.build(found := dict(model.trainable())).param_groups
    of = {id(weight): group for group in groups for weight in group["params"]}
    for name, weight in found.items():
        spared = name.endswith("bias") or "LayerNorm" in name
        assert of[id(weight)]["weight_decay"] == (0.0 if spared else 0.5), name
        assert of[id(weight)]["l1"] == (0.0 if spared else 0.25), name


@pytest.mark.parametrize("kind", [Adam, AdamW8bit, Sgd, Adafactor])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resuming_is_bit_equal(tmp_path, kind, precision):
    settings = stage(duration="8 steps", optimizer=kind(lr=1e-2), precision=precision)
    # Wide enough for 8-bit memory: 64 x 96 weights.
    reference = causal(dropout=0.2, width=96)
    steps = train(tmp_path / "whole", reference, EXAMPLES, train=settings)
    train(tmp_path / "cut", causal(dropout=0.2, width=96), EXAMPLES, train=settings, steps=3, save_every=0.0)
    torch.manual_seed(99)
    model = causal(dropout=0.2, width=96)
    rest = train(tmp_path / "cut", model, EXAMPLES, train=settings)
    assert [step.loss for step in rest] == [step.loss for step in steps[3:]]
    assert all(torch.equal(weight, weights_of(model)[name]) for name, weight in weights_of(reference).items())


def test_eight_bits_follow_adamw_and_weigh_a_quarter():
    """The course on a smooth problem stays near that of AdamW; state is held in bytes (arXiv 2110.02861)."""
    draw = torch.Generator().manual_seed(0)
    inputs, truth = torch.randn(256, 96, generator=draw), torch.randn(96, 64, generator=draw)
    targets = inputs @ truth + 0.1 * torch.randn(256, 64, generator=draw)

    def run(part):
        weight = torch.zeros(64, 96, requires_grad=True)
        optimizer = part.build({"module.weight": weight})
        losses = []
        for _ in range(150):
            loss = (inputs @ weight.T - targets).square().mean()
            optimizer.zero_grad()
            loss.backward()
            part.move(optimizer, 2e-2)
            losses.append(loss.item())
        memory = sum(v.numel() * v.element_size() for v in optimizer.state[weight].values() if torch.is_tensor(v))
        return losses, memory, weight.detach()

    exact, bytes_32, weight_32 = run(AdamW(lr=2e-2))
    coarse, bytes_8, weight_8 = run(AdamW8bit(lr=2e-2))
    assert coarse[0] == exact[0] and coarse != exact
    assert all(abs(c - e) <= 0.05 * e + 0.02 for c, e in zip(coarse, exact, strict=True))
    assert coarse[-1] < 0.05 * coarse[0]
    assert (weight_8 - weight_32).norm() <= 0.05 * weight_32.norm()
    assert bytes_8 < 0.4 * bytes_32, "with the two tables of 256 numbers that this small weight shares with none"


def test_without_bitsandbytes_the_way_out_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("bitsandbytes"):
            raise ImportError("No module named 'bitsandbytes'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependency, match=r"'bitsandbytes' is not installed(.|\n)*tunesmith\[quantize\]"):
        AdamW8bit(lr=1.0).build(weights())


def test_l1_finds_the_lasso_solution():
    """With orthogonal inputs the lasso is soft thresholding of the least-squares solution, in closed form."""
    truth = torch.tensor([[2.0, -1.5, 0.3, -0.2, 0.0, 0.9]])
    weight = torch.zeros(1, 6, requires_grad=True)
    part = Sgd(lr=0.1, momentum=0.0, l1=0.5, clip=None)
    optimizer = part.build({"module.weight": weight})
    for _ in range(300):
        weight.grad = weight.detach() - truth
        part.move(optimizer, 0.1)
    expected = truth.sign() * (truth.abs() - 0.5).clamp_min(0)
    torch.testing.assert_close(weight.detach(), expected, rtol=0, atol=1e-6)
    assert int((weight == 0).sum()) == 3, "weights reach zero exactly"


def test_l1_leaves_what_did_not_move():
    moved, still = torch.ones(2, 2), torch.ones(2, 2)
    moved.grad = torch.zeros(2, 2)
    shrink([{"params": [moved, still], "l1": 0.5, "lr": 0.1}])
    assert torch.allclose(moved, torch.full((2, 2), 0.95)) and torch.equal(still, torch.ones(2, 2))


def test_layer_decay_multiplies_the_rate_by_depth(tmp_path):
    parameters = weights()
    depths = {"module.a": 3, "module.norm": 1}
    part = AdamW(lr=1.0, head=5.0, layer_decay=0.5)
    rates = {id(w): group["rate"] for group in part.build(parameters, depths).param_groups for w in group["params"]}
    assert [rates[id(weight)] for weight in parameters.values()] == [0.125, 0.5, 5.0]


def test_sgd_first_step_is_the_gradient(tmp_path):
    settings = stage(
        duration="1 steps", optimizer=Sgd(lr=0.5, clip=None), schedule=Constant(warmup=Stretch(0, "steps"))
    )
    model = causal()
    before = weights_of(model)
    (step,) = train(tmp_path, model, EXAMPLES, train=settings)
    moved = math.sqrt(sum(float((w - before[name]).square().sum()) for name, w in weights_of(model).items()))
    assert moved == pytest.approx(0.5 * step.grad_norm, rel=1e-4)


def test_all_optimizers_are_tested():
    assert {kind(lr=1.0).kind for kind in (AdamW, Adam, AdamW8bit, Sgd, Adafactor)} == set(OPTIMIZERS.names())
    with pytest.raises(ValueError, match="give momentum more than 0"):
        Sgd(momentum=0.0, nesterov=True)
