"""Differentially private training: gradients of rows, noise, draws, and what the accountant says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from train_tiny import causal, encoder, rows, stage, train, weights_of

from tunesmith.errors import GateFailed
from tunesmith.models.adapters.full import Full
from tunesmith.models.adapters.lora import Lora
from tunesmith.spec.rooms.privacy import Private
from tunesmith.spec.sections import Regularize
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.optimizers.sgd import Sgd
from tunesmith.train.weights import private
from tunesmith.train.weights.private import Drawn, Noisy, epsilon_of, noise_for, refuse_pieces, secret_in, spent

pytest.importorskip("opacus")
EXAMPLES = rows(10)
SECRET = 123456789
REFERENCE = [
    # rate, noise, steps, delta, epsilon by PLDAccountant of dp-accounting 0.6.0 (Google)
    (0.05, 1.0, 200, 1e-4, 3.999309),
    (0.01, 1.0, 1000, 1e-5, 1.828244),
    (0.1, 2.0, 300, 1e-4, 3.596539),
    (0.2, 4.0, 50, 1e-3, 0.941568),
]


def private_stage(*, rows: int = 10, duration: str = "1 steps", clip: float = 0.5, **settings):
    settings = {"optimizer": Sgd(lr=1.0, clip=None, momentum=0.0, head=1.0), "precision": "fp32", **settings}
    rule = Private(epsilon=0.5, delta=1e-3, clip=clip)
    return stage(duration=duration, batch=f"{rows} rows", regularize=Regularize(private=rule), **settings)


def by_row(model, objective, examples):
    """The gradient of each row by itself, of its mean loss, with plain autograd."""
    weights = model.trainable()
    for example in examples:
        batch = objective.batch([example], model)
        loss = objective.loss(model, batch).sum / batch.num_trained
        found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        yield {name: grad for name, grad in zip(weights, found, strict=True) if grad is not None}


def clipped_mean(model, objective, examples, clip):
    total: dict[str, torch.Tensor] = {}
    for found in by_row(model, objective, examples):
        norm = math.sqrt(sum(float((grad.double() ** 2).sum()) for grad in found.values()))
        for name, grad in found.items():
            total[name] = total.get(name, torch.zeros_like(grad)) + grad * min(1.0, clip / norm)
    return {name: value / len(examples) for name, value in total.items()}


@pytest.mark.parametrize(
    ("make", "objective", "adapter"),
    [(causal, Sft(), Lora(rank=2)), (causal, Sft(), Full()), (lambda: encoder("classify"), Classify(), Lora(rank=2))],
    ids=["lora", "full", "head"],
)
@pytest.mark.parametrize("clip", [1e-2, 1e3])
def test_a_step_is_the_mean_of_shortened_gradients(tmp_path, monkeypatch, make, objective, adapter, clip):
    monkeypatch.setattr(private, "noise_for", lambda *_: 0.0)
    monkeypatch.setattr(private, "epsilon_of", lambda *_: 0.0)
    models = [make() for _ in range(2)]
    for model in models:
        adapter.attach(model, 0)
        model.module.train(False)
    before = {name: weight.detach().clone() for name, weight in weights_of(models[0]).items()}
    expected = clipped_mean(models[1], objective, EXAMPLES, clip)
    train(tmp_path, models[0], EXAMPLES, objective, train=private_stage(clip=clip, objective=objective))
    moved = 0.0
    for name, weight in weights_of(models[0]).items():
        step = before[name] - weight
        moved = max(moved, float(step.abs().max()))
        torch.testing.assert_close(step, expected.get(name, torch.zeros_like(step)), rtol=1e-4, atol=1e-5 * clip)
    assert moved > 0


@pytest.mark.filterwarnings("ignore:Full backward hook")
def test_shortening_equals_opacus():
    from opacus.grad_sample import GradSampleModule

    torch.manual_seed(0)
    inputs, targets = torch.randn(12, 5), torch.randint(3, (12,))
    plain = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
    theirs = GradSampleModule(torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3)))
    theirs._module.load_state_dict(plain.state_dict())
    torch.nn.functional.cross_entropy(theirs(inputs), targets, reduction="mean").backward()
    grads = {name: weight.grad_sample for name, weight in theirs._module.named_parameters()}
    norms = torch.stack([grad.flatten(1).norm(dim=1) for grad in grads.values()]).norm(dim=0)
    factors = (0.7 / (norms + 1e-6)).clamp(max=1.0)
    noisy = Noisy(Drawn([1] * 12, rows=12, secret=SECRET), clip=0.7, noise=0.0)
    weights = dict(plain.named_parameters())
    for row, target in zip(inputs, targets, strict=True):
        torch.nn.functional.cross_entropy(plain(row[None]), target[None]).backward()
        noisy.take(weights)
        assert all(weight.grad is None for weight in weights.values())
    noisy.give(weights, 0)
    for name, weight in weights.items():
        expected = torch.einsum("b,b...->...", factors, grads[name]) / 12
        torch.testing.assert_close(weight.grad, expected, rtol=1e-5, atol=1e-5)


def test_noise_is_as_wide_as_it_says_and_of_its_step():
    weights = {"a": torch.nn.Parameter(torch.zeros(200, 100)), "b": torch.nn.Parameter(torch.zeros(7))}
    noisy = Noisy(Drawn([1] * 100, rows=20, secret=SECRET), clip=0.5, noise=3.0)
    said = []
    for step in (0, 1, 0):
        noisy.give(weights, step)
        said.append(weights["a"].grad.clone())
        assert weights["b"].grad is not None, "a weight that no row touched gets noise too"
    assert float(said[0].std()) == pytest.approx(3.0 * 0.5 / 20, rel=0.02) and abs(float(said[0].mean())) < 0.002
    assert torch.equal(said[0], said[2]) and not torch.equal(said[0], said[1])
    noisy.batches.secret += 1
    noisy.give(weights, 0)
    assert not torch.equal(weights["a"].grad, said[0])


def test_rows_are_drawn_each_by_itself():
    batches = Drawn([1] * 50, rows=10, secret=SECRET)
    steps = [[row for micro in step for row in micro] for epoch in range(200) for step in batches.epoch(epoch)]
    assert len(steps) == 1000 and all(len(micro) == 1 for step in batches.epoch(0) for micro in step)
    sizes = [len(step) for step in steps]
    assert np.mean(sizes) == pytest.approx(10, abs=0.3) and np.var(sizes) == pytest.approx(50 * 0.2 * 0.8, rel=0.15)
    seen = np.bincount(np.concatenate(steps), minlength=50)
    assert seen.min() > 150 and seen.max() < 250
    assert Drawn([1] * 50, rows=10, secret=SECRET + 1).epoch(0) != batches.epoch(0)


@pytest.mark.parametrize(("rate", "noise", "steps", "delta", "expected"), REFERENCE)
def test_accounting_is_within_one_percent_of_another(rate, noise, steps, delta, expected):
    found = epsilon_of(noise, rate, steps, delta, expected)
    assert expected * 0.9999 <= found <= expected * 1.01


def test_noise_is_the_least_that_keeps_the_promise():
    noise = noise_for(0.5, 1e-3, 0.2, 40)
    assert epsilon_of(noise, 0.2, 40, 1e-3, 0.5) <= 0.5 < epsilon_of(noise * 0.98, 0.2, 40, 1e-3, 0.5)
    planned = private_stage(rows=2, duration="40 steps")
    whole, half = spent(planned, [1] * 10), spent(planned, [1] * 10, 20)
    assert (whole.rate, whole.steps, whole.clip, whole.delta) == (0.2, 40, 0.5, 1e-3)
    assert 0.497 < whole.epsilon <= 0.5 and half.epsilon < whole.epsilon and half.noise == whole.noise == noise
    with pytest.raises(GateFailed, match="cannot be drawn of 10 training rows"):
        spent(private_stage(rows=11), [1] * 10)


def test_resuming_is_bit_equal_and_the_secret_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(private, "noise_for", lambda *_: 1.0)
    monkeypatch.setattr(private, "epsilon_of", lambda *_: 0.5)
    settings = private_stage(rows=3, duration="6 steps")

    def trained(name, steps=None, secret=True):
        if secret:
            private.write_json(tmp_path / name / private.SECRET, {"secret": SECRET})
        model = causal()
        train(tmp_path / name, model, EXAMPLES, Sft(), train=settings, steps=steps, save_every=0.0)
        return weights_of(model)

    whole = trained("whole")
    trained("cut", steps=2)
    again, other = trained("cut"), trained("other", secret=False)
    assert all(torch.equal(weight, again[name]) for name, weight in whole.items())
    assert not all(torch.equal(weight, other[name]) for name, weight in whole.items())
    assert secret_in(tmp_path / "other") != SECRET and (tmp_path / "other" / private.SECRET).stat().st_mode & 0o77 == 0


def test_a_row_in_several_pieces_is_refused():
    refuse_pieces(5, 5)
    with pytest.raises(GateFailed, match="4 rows are learned in 5 pieces"):
        refuse_pieces(5, 4)
