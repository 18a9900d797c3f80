"""Diagnoses on trainings where the condition is really present, and silence on those where none is."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from train_tasks import task
from train_tiny import causal, encoder, stage, train

from tunesmith.errors import NonFinite
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.loop import fit
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.objectives.pretrain import Pretrain
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.optimizers.adamw import AdamW
from tunesmith.train.optimizers.sgd import Sgd
from tunesmith.train.schedules.constant import Constant
from tunesmith.train.step import Step
from tunesmith.train.watchers._history import STRETCHES
from tunesmith.train.watchers._symptoms import SYMPTOMS
from tunesmith.train.watchers.diagnose import Diagnose, Symptom
from tunesmith.train.watchers.early_stop import EarlyStop


def notes(folder, kind="rule", count=400, *, model=None, objective=None, validation=None, ignore=(), **settings):
    """(step, first words) of what is said of a training on a synthetic task, and the sentences."""
    objective = {"objective": objective} if objective else {}
    train_settings = stage(
        watch=[Diagnose(ignore=list(ignore))],
        **{"batch": "16 rows", "validate_every": "1 epochs", "duration": "12 epochs", **objective, **settings},
    )
    held_out = task(100, seed=5, kind=kind) if validation is None else validation
    steps = train(
        folder, model or causal(), task(count, kind=kind), objective.get("objective"),
        train=train_settings, validation=held_out,
    )  # fmt: skip
    return [(step.number, note) for step in steps for note in step.notes]


def heads(said):
    return [re.split(r"[:,]| that holds", note)[0] for _, note in said]


HEALTHY = {
    "rule, 3e-3": ({"optimizer": AdamW(lr=3e-3)}, {}),
    "rule, 1e-2": ({"optimizer": AdamW(lr=1e-2)}, {}),
    "rule, another order": ({"optimizer": AdamW(lr=3e-3), "seed": 3}, {}),
    "rule, one epoch's worth of checks": ({"optimizer": AdamW(lr=5e-3), "validate_every": "5 steps"}, {}),
    "rule, constant": ({"optimizer": AdamW(lr=3e-3), "schedule": Constant()}, {}),
    "few steps": ({"optimizer": AdamW(lr=3e-3), "duration": "1 epochs"}, {}),
    "classify": ({"optimizer": AdamW(lr=1e-3, head=3.0), "duration": "6 epochs"}, {"objective": Classify()}),
    "chain": ({"optimizer": AdamW(lr=1e-2), "duration": "8 epochs"}, {"objective": Pretrain(), "kind": "chain"}),
    "no validation": ({"optimizer": AdamW(lr=3e-3)}, {"validation": []}),
    "no dropout, SGD": ({"optimizer": Sgd(lr=0.2), "duration": "30 epochs"}, {}),
}


AT_ONCE = ("rule, 3e-3", "classify", "few steps")
"""The others are for `make durability` alone."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in AT_ONCE else [pytest.mark.slow]) for name in HEALTHY]
)
def test_healthy_trainings_hear_nothing(tmp_path, name):
    settings, more = HEALTHY[name]
    model = encoder("classify") if name == "classify" else causal()
    assert notes(tmp_path, model=model, **settings, **more) == []


@pytest.mark.parametrize("lr", [pytest.param(1e-7, marks=pytest.mark.slow), 1e-6])
def test_nothing_learned(tmp_path, lr):
    ((step, said),) = notes(tmp_path, optimizer=AdamW(lr=lr))
    assert step == 150 and said.startswith("Nothing learned: the loss was 4.2")
    assert f"{lr:.2g} at its highest, is far too low (try {lr * 10:.2g})" in said


def test_nothing_learned_from_noise(tmp_path):
    said = notes(
        tmp_path, "noise", 1000, optimizer=AdamW(lr=1e-3), duration="2 epochs",
        validation=task(100, seed=5, kind="noise", answers=60),
    )  # fmt: skip
    assert heads(said) in ([], ["Nothing learned"])
    random = task(1000, kind="noise", answers=60)
    steps = train(
        tmp_path / "random", causal(), random, validation=task(100, seed=5, kind="noise", answers=60),
        train=stage(watch=[Diagnose()], batch="16 rows", duration="2 epochs", optimizer=AdamW(lr=1e-3),
                    validate_every="1 epochs"),
    )  # fmt: skip
    (said,) = [note for step in steps for note in step.notes]
    assert said.startswith("Nothing learned that holds for other rows: the training loss came from 4.1")


@pytest.mark.parametrize("lr", [pytest.param(1e-5, marks=pytest.mark.slow), 3e-5])
def test_a_learning_rate_ten_times_too_low(tmp_path, lr):
    ((step, said),) = notes(tmp_path, optimizer=AdamW(lr=lr))
    assert step == 180 and said.startswith("Learning rate too low, probably by an order: after 180 of 300 steps")
    assert f"`optimizer: {{lr: {lr * 10:.2g}}}`; its highest was {lr:.2g}" in said


@pytest.mark.parametrize("lr", [3.0, 10.0])
def test_a_learning_rate_that_makes_it_diverge(tmp_path, lr):
    """Rates at which every machine's rounding diverges; nothing contrary is said afterwards."""
    ((step, said),) = notes(tmp_path, optimizer=AdamW(lr=lr), duration="6 epochs")
    assert step == 20 and said.startswith("Divergence: the loss is ") and "it began at 4.2" in said
    assert f"is too high, probably by an order: write `optimizer: {{lr: {lr / 10:.2g}}}`" in said


def course(losses, total=None, norms=None):
    """What is said of a training with these losses, and the watcher's memory after it."""
    watcher, said = Diagnose(), []
    memory = watcher.start()
    for number, loss in enumerate(losses, start=1):
        step = Step(
            number=number, total=total or len(losses), epoch=number / 25, loss=float(loss), lr=1.0, rows=16,
            grad_norm=float(norms[number - 1]) if norms is not None else 2.0, trained=16, tokens=number, seconds=1.0,
        )  # fmt: skip
        assert watcher.after(step, memory) is None
        said += [(number, note) for note in watcher.notes(step, memory)]
    return said, memory


def test_a_spike_and_then_nothing_is_a_rate_too_high():
    """The spike is over before a divergence can be told; the weights are ruined, every output is uniform."""
    said, _ = course([4.23, 4.16, 9.1, 63.0, 240.0, 97.0, 31.0, 12.0, 5.6, 4.4, *[4.159] * 290])
    ((step, words),) = said
    assert step == 150 and words.startswith("Learning rate too high: the loss began at 4.23, rose to ")
    assert "Nothing was learned" in words and "write `optimizer: {lr: 0.1}`" in words
    # It rises at once: what it rose from is the very first loss, and not the first few.
    *_, (_, words) = course([4.2, *[6.5] * 9, *[4.159] * 290])[0]
    assert words.startswith("Learning rate too high: the loss began at 4.2, rose to 6.5 ")
    # A loss that swings above its start, and falls to what chance allows only when the rate falls.
    swings = [4.2, 4.1, 4.2, *(4.2 + np.sin(np.arange(157) / 6)), *np.full(140, 2.8)]
    (_, nothing), (_, words) = course(swings)[0]
    assert "1 at its highest, is off by an order (try 0.1 and 10)" in nothing
    assert words.startswith("Learning rate too high: the loss began at 4.2, rose to 5.") and "Little was" in words


@pytest.mark.parametrize("noise", [0.02, 0.1, pytest.param(0.15, marks=pytest.mark.slow)])
def test_noise_alone_is_no_rate_too_high(noise):
    """Losses as noisy as small batches make them, standing still and falling as they should."""
    for seed in range(30):
        draw = np.random.default_rng(seed).normal(1, noise, 400)
        still = course(4.2 * draw)[0]
        assert heads(still) in ([], ["Nothing learned"])
        assert course((0.3 + 3.9 * np.exp(-np.arange(400) / 60)) * draw)[0] == []


def until_not_finite(folder, objective=None, **settings):
    """What is said of a training, and the error it ends in, if any."""
    train_settings = stage(watch=[Diagnose()], batch="16 rows", validate_every="1 epochs", **settings)
    said = []
    try:
        for step in fit(causal(), task(400), objective or Sft(), train=train_settings, checkpoints=Checkpoints(folder)):
            said += [(step.number, note) for note in step.notes]
    except NonFinite as error:
        return said, error
    return said, None


def test_exploding_gradients(tmp_path):
    """Whether a machine's rounding ends in NaN or in uniform outputs, both are told before."""
    said, _ = until_not_finite(tmp_path, optimizer=Sgd(lr=0.6, clip=None), duration="6 epochs")
    assert sorted(heads(said)) == ["Divergence", "Exploding gradients"]
    told = dict(zip(heads(said), (note for _, note in said), strict=True))["Exploding gradients"]
    assert re.search(r"their length is [\d.e+]+ after \d+ steps and was \d\.\d+ at the start.*clip: 1.0", told)


def test_an_end_in_nan_tells_what_came_before(tmp_path):
    """A loss or gradient that is not finite comes with the remedy when the steps before it show the cause."""

    class Rising(Sft):
        """Ten times the loss at every step, until it overflows: the same on every machine."""

        def loss(self, model, batch):
            found = super().loss(model, batch)
            factors.append(10.0 * factors[-1])
            return replace(found, sum=found.sum * factors[-2])

    factors = [1.0]
    _, error = until_not_finite(tmp_path, Rising(), optimizer=AdamW(lr=1e-3), duration="6 epochs")
    assert "is not finite" in error.what and "the loss had gone from 4.2" in error.fix
    assert re.search(
        r"learning rate, 0.001 at its .*is too high; write `optimizer: {lr: 0.0001, clip: 1.0}`", error.fix
    )
    # Without a cause in sight the rows are to be looked at.
    _, calm = course([4.2, 4.1, 4.0, 3.9])
    assert Diagnose().remedy(calm) is None and Diagnose().remedy(Diagnose().start()) is None
    _, risen = course([4.2] * 40, norms=[*[2.0] * 36, 9.0, 80.0, 900.0, 1e4])
    assert "from 2 to 900" in Diagnose().remedy(risen)


def test_overfitting_and_exhausted_data(tmp_path):
    settings = {"optimizer": AdamW(lr=5e-3), "duration": "40 epochs"}
    said = notes(tmp_path, "noise", 48, **settings)
    assert heads(said) == ["Overfitting", "Data exhausted"]
    (early, overfit), (late, exhausted) = said
    assert early < late
    assert re.search(r"lowest at step \d+ \(epoch (\d)\), 3\.\d+, and is 3\.\d+, .*`duration: \1 epochs`", overfit)
    assert re.search(r"has gained since epoch (\d); this is epoch \d+.*write `duration: \1 epochs`", exhausted)
    # Each can be left out, and neither stops the training.
    assert heads(notes(tmp_path / "b", "noise", 48, ignore=["overfitting"], **settings)) == ["Data exhausted"]


def test_a_figure_that_still_gains_is_no_overfitting(tmp_path):
    """Confidence makes the validation loss rise while accuracy still climbs: common, and healthy."""
    accuracies = iter(0.5 + 0.01 * number for number in range(100))
    settings = stage(
        watch=[Diagnose()], batch="16 rows", duration="40 epochs", validate_every="1 epochs",
        optimizer=AdamW(lr=5e-3),
    )  # fmt: skip
    steps = train(
        tmp_path, causal(), task(48, kind="noise"), train=settings, validation=task(100, seed=5, kind="noise"),
        validate=lambda: {"accuracy": next(accuracies)},
    )  # fmt: skip
    assert [note for step in steps for note in step.notes] == []


def test_plateau(tmp_path):
    said = notes(tmp_path, "hard", 600, optimizer=AdamW(lr=5e-3), duration="20 epochs")
    assert heads(said) == ["Plateau"]
    assert re.search(r"fell from \d\.\d+ to 2\.\d+ and has stood there for \d+ steps", said[0][1])


@pytest.mark.parametrize(("begun", "expected"), [(2.0, []), (5.0, ["Plateau"])])
def test_a_fall_is_one_from_where_training_began(begun, expected):
    """A loss that shoots up at once and comes back has not fallen; one that shot up on its way down has."""
    noise = np.random.default_rng(0).normal(0, 0.02, 200)
    losses = np.concatenate([[begun], np.linspace(8.0, 2.0, 14), np.full(185, 2.0)]) + noise
    said, _ = course(losses)
    assert heads([note for note in said if "high" not in note[1]]) == expected


@pytest.mark.parametrize("settings", [
    {"optimizer": AdamW(lr=1e-3), "duration": "2 epochs", "schedule": Constant(), "validate_every": "5 steps"},
    {"optimizer": AdamW(lr=4e-4), "duration": "4 epochs", "validate_every": "10 steps"},
])  # fmt: skip
def test_underfitting(tmp_path, settings):
    said = notes(tmp_path, **settings)
    assert heads(said) == ["Underfitting"]
    assert "still falls" in said[0][1] and "twice the `duration`" in said[0][1]


def test_leak(tmp_path):
    learned = causal()
    assert notes(tmp_path / "first", model=learned, optimizer=AdamW(lr=1e-2)) == []
    said = notes(tmp_path / "again", model=learned, optimizer=AdamW(lr=1e-3), duration="1 epochs")
    assert heads(said) == ["Suspiciously low at the start"] and said[0][0] == 3


def test_nothing_is_said_twice_and_a_resume_changes_nothing(tmp_path):
    settings = stage(
        watch=[EarlyStop(patience=99), Diagnose()], batch="16 rows", duration="40 epochs", validate_every="1 epochs",
        optimizer=AdamW(lr=5e-3),
    )  # fmt: skip
    given = {"train": settings, "validation": task(100, seed=5, kind="noise")}
    rows = task(48, kind="noise")
    whole = train(tmp_path / "whole", causal(), rows, **given)
    cut = train(tmp_path / "cut", causal(), rows, steps=60, save_every=0.0, **given)
    rest = train(tmp_path / "cut", causal(), rows, **given)
    assert [step.notes for step in cut + rest] == [step.notes for step in whole]
    assert sum(len(step.notes) for step in whole) == 2


def test_its_memory_stays_small():
    watcher = Diagnose()
    memory = watcher.start()
    sizes = []
    for number in range(1, 5001):
        step = Step(
            number=number, total=5000, epoch=number / 100, loss=3 / number, lr=1e-3, grad_norm=1.0, rows=1, trained=1,
            tokens=number, seconds=1.0, validation={"loss": 3 / number} if number % 10 == 0 else None,
        )  # fmt: skip
        assert watcher.after(step, memory) is None and watcher.notes(step, memory) == []
        sizes.append(len(json.dumps(memory)))
    assert max(sizes) < 10_000 and len(memory["stretches"]) <= STRETCHES
    assert sum(stretch[0] for stretch in memory["stretches"]) == 5000
    assert sum(stretch[1] for stretch in memory["stretches"]) == pytest.approx(sum(3 / n for n in range(1, 5001)))


def test_every_symptom_can_be_switched_off():
    assert set(Symptom.__args__) == set(SYMPTOMS)
