"""Two processes train as one does: the same losses, gradients and weights, whatever the cut."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import pytest
import torch
from train_ranks import steps, train_alone, train_together, wait_in_vain, weights
from train_scenarios import SCENARIOS

from tunesmith.train.state import seed_everything

CLOSE = 1e-5
FIGURES = ("loss", "grad_norm", "lr", "rows", "trained", "tokens", "epoch")
NOT_CUT = ["unfreeze"]
"""Refused where layers are to be cut into shards."""
SAME = [name for name in SCENARIOS if name != "dropout"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trains a scenario in one process and in two, once; its folder holds `one` and `two`."""

    @cache
    def train(name):
        folder = tmp_path_factory.mktemp(name)
        train_alone(name, folder / "one")
        train_together([name], folder)
        (folder / name).rename(folder / "two")
        if name not in NOT_CUT:
            train_together([name], folder, shard=True)
            (folder / name).rename(folder / "cut")
        return folder

    return train


def figures(step):
    """All numbers of a step, by name."""
    measured = {f"validation {name}": value for name, value in (step["validation"] or {}).items()}
    return {name: step[name] for name in FIGURES} | step["metrics"] | measured


AT_LENGTH = ("masked", "stopped", "t5", "recomputed", "unfreeze", "tag")
"""Scenarios for `make durability` alone."""
WAYS = [
    pytest.param(way, name, marks=[pytest.mark.slow] if name in AT_LENGTH else [])
    for way in ("two", "cut")
    for name in SAME
    if way == "two" or name not in NOT_CUT
]
"""Whole layers in both processes, or cut into shards (FSDP2)."""


@pytest.mark.parametrize(("way", "name"), WAYS)
def test_two_processes_are_as_one(trained, way, name):
    one, two = steps(trained(name) / "one"), steps(trained(name) / way)
    assert [(step["number"], step["best"]) for step in two] == [(step["number"], step["best"]) for step in one]
    close = 4e-2 if name == "bf16" else CLOSE
    for alone, together in zip(one, two, strict=True):
        assert figures(together) == pytest.approx(figures(alone), rel=close, abs=1e-7), alone["number"]
    for weight, expected in weights(trained(name) / "one").items():
        torch.testing.assert_close(weights(trained(name) / way)[weight], expected, rtol=close, atol=10 * close)


@pytest.mark.parametrize(("way", "name"), WAYS)
def test_both_processes_end_alike_bit_for_bit(trained, way, name):
    assert steps(trained(name) / way, 0) == steps(trained(name) / way, 1)
    second = weights(trained(name) / way, 1)
    assert all(torch.equal(weight, second[key]) for key, weight in weights(trained(name) / way, 0).items())


def journey(folder, name, *legs):
    """Trains a scenario in legs of (processes, steps), each going on where the last one stopped; all its steps.

    A negative number of processes cuts layers into shards.
    """
    done = []
    for count, more in legs:
        if count == 1:
            train_alone(name, folder / name, steps=more)
        else:
            train_together([name], folder, abs(count), steps=more, shard=count < 0)
        done += steps(folder / name)
    return done


@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), -2])
def test_two_processes_resume_bit_for_bit(tmp_path, count):
    """Dropout is drawn by each process from numbers of its own, which a checkpoint keeps for each."""
    whole = journey(tmp_path / "whole", "dropout", (count, None))
    for stop_after in (2, 5):
        folder = tmp_path / f"stopped-{stop_after}"
        assert journey(folder, "dropout", (count, stop_after), (count, None)) == whole
        expected = weights(tmp_path / "whole" / "dropout")
        assert all(torch.equal(weight, expected[key]) for key, weight in weights(folder / "dropout").items())


def test_each_process_draws_its_own_masks(tmp_path):
    """What one process drew for all rows, two cannot draw alike: with dropout the courses part, a little."""
    alone, together = (journey(tmp_path / str(count), "dropout", (count, 1)) for count in (1, 2))
    assert alone[0]["loss"] != pytest.approx(together[0]["loss"], rel=1e-4)
    assert alone[0]["loss"] == pytest.approx(together[0]["loss"], rel=0.2)


def test_each_process_draws_numbers_of_its_own():
    def drawn(*arguments):
        seed_everything(3, *arguments)
        return (float(torch.rand(())), random.random(), float(np.random.rand()))

    assert drawn() == drawn(0, 7), "the first process draws what one alone draws"
    assert all(len({*numbers}) == 4 for numbers in zip(drawn(), drawn(1), drawn(2), drawn(1, 7), strict=True))


@pytest.mark.parametrize(
    "legs",
    [
        ((3, 2), (2, 3), (1, None)),
        ((2, 2), (-3, 3), (-2, None)),  # layers of 32 and 16 rows do not divide by 3
        pytest.param(((2, 3), (1, None)), marks=pytest.mark.slow),
        pytest.param(((1, 3), (2, None)), marks=pytest.mark.slow),
        pytest.param(((-2, 3), (1, None)), marks=pytest.mark.slow),
        pytest.param(((1, 3), (-3, None)), marks=pytest.mark.slow),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["ema"])
def test_a_checkpoint_goes_on_in_another_number_of_processes(trained, tmp_path, name, legs):
    one, moved = steps(trained(name) / "one"), journey(tmp_path, name, *legs)
    assert [step["number"] for step in moved] == [step["number"] for step in one]
    for alone, other in zip(one, moved, strict=True):
        assert figures(other) == pytest.approx(figures(alone), rel=CLOSE, abs=1e-7), alone["number"]


def test_a_process_that_does_not_answer_is_given_up(tmp_path):
    assert wait_in_vain(tmp_path, patience=2.0) < 20
