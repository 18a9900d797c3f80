"""Two processes train as one does: the same losses, gradients and weights, whatever the cut."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import pytest
import torch
from train_ranks import steps, train_alone, train_together, weights
from train_scenarios import SCENARIOS

from tunesmith.train.state import seed_everything

CLOSE = 1e-5
FIGURES = ("loss", "grad_norm", "lr", "rows", "trained", "tokens", "epoch")
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
        return folder

    return train


def figures(step):
    """All numbers of a step, by name."""
    measured = {f"validation {name}": value for name, value in (step["validation"] or {}).items()}
    return {name: step[name] for name in FIGURES} | step["metrics"] | measured


@pytest.mark.parametrize("name", SAME)
def test_two_processes_are_as_one(trained, name):
    one, two = steps(trained(name) / "one"), steps(trained(name) / "two")
    assert [(step["number"], step["best"]) for step in two] == [(step["number"], step["best"]) for step in one]
    close = 2e-2 if name == "bf16" else CLOSE
    for alone, together in zip(one, two, strict=True):
        assert figures(together) == pytest.approx(figures(alone), rel=close, abs=1e-7), alone["number"]
    for weight, expected in weights(trained(name) / "one").items():
        torch.testing.assert_close(weights(trained(name) / "two")[weight], expected, rtol=close, atol=10 * close)


@pytest.mark.parametrize("name", SAME)
def test_both_processes_end_alike_bit_for_bit(trained, name):
    assert steps(trained(name) / "two", 0) == steps(trained(name) / "two", 1)
    second = weights(trained(name) / "two", 1)
    assert all(torch.equal(weight, second[key]) for key, weight in weights(trained(name) / "two", 0).items())


def journey(folder, name, *legs):
    """Trains a scenario in legs of (processes, steps), each going on where the last one stopped; all its steps."""
    done = []
    for count, more in legs:
        if count == 1:
            train_alone(name, folder / name, steps=more)
        else:
            train_together([name], folder, count, steps=more)
        done += steps(folder / name)
    return done


def test_two_processes_resume_bit_for_bit(tmp_path):
    """Dropout is drawn by each process from numbers of its own, which a checkpoint keeps for each."""
    whole = journey(tmp_path / "whole", "dropout", (2, None))
    for stop_after in (2, 5):
        folder = tmp_path / f"stopped-{stop_after}"
        assert journey(folder, "dropout", (2, stop_after), (2, None)) == whole
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


@pytest.mark.parametrize("legs", [((2, 3), (1, None)), ((1, 3), (2, None)), ((3, 2), (2, 3), (1, None))], ids=str)
@pytest.mark.parametrize("name", ["ema"])
def test_a_checkpoint_goes_on_in_another_number_of_processes(trained, tmp_path, name, legs):
    one, moved = steps(trained(name) / "one"), journey(tmp_path, name, *legs)
    assert [step["number"] for step in moved] == [step["number"] for step in one]
    for alone, other in zip(one, moved, strict=True):
        assert figures(other) == pytest.approx(figures(alone), rel=CLOSE, abs=1e-7), alone["number"]
