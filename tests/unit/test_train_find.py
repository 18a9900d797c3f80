"""What a few steps tell: a rate only where it is surely better, the noise of gradients, the smallest fast size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tunesmith.train.find.noise import SKETCH, noise_scale, sketch
from tunesmith.train.find.rate import FACTORS, Probe, decide
from tunesmith.train.find.speed import Timed, plateau

STEPS = 16


def probes(late: dict[float, float | None], wobble: float = 0.3, own: float = 0.0) -> list[Probe]:
    """Losses that all wobble alike, as those of the same rows do, and each by `own` of its own."""
    draw = np.random.default_rng(3)
    shared = draw.normal(0, wobble, STEPS)
    made = []
    for factor in FACTORS:
        level = late.get(factor, 1.0)
        if level is None:
            made.append(Probe(factor * 1e-3, (1.5,) * 5, (), 100))
            continue
        held = level + shared + draw.normal(0, own, STEPS)
        made.append(Probe(factor * 1e-3, (2.5,) * STEPS, tuple(held), 100))
    return made


def test_pairs_see_what_the_noise_of_the_rows_hides() -> None:
    # A lower rate is better by a twentieth of what rows differ by.
    found = decide(probes({0.5: 0.985}, own=0.001), 1e-3, STEPS)
    assert found.changed and found.lr == 5e-4 and "0.0005 has a loss 0.0149 (± 0.0004) below" in found.why


def test_unsure_means_the_derived_rate_stays() -> None:
    found = decide(probes({0.5: 0.95, 4.0: 0.9}, own=0.3), 1e-3, STEPS)
    assert not found.changed and found.lr == 1e-3 and "no rate tried is surely better" in found.why


@pytest.mark.parametrize(
    ("late", "rate"),
    [
        ({2.0: 0.8, 4.0: 0.6}, 2e-3),  # half of the best, which is surely better too
        ({2.0: 0.8}, 1e-3),  # half of it is the derived one
        ({2.0: 1.1, 4.0: 0.6}, 1e-3),  # half of it is worse
        ({0.25: 0.5, 4.0: 0.6}, 2.5e-4),
        ({4.0: None, 2.0: None}, 1e-3),
        ({1.0: None, 2.0: None, 4.0: None, 0.5: 0.9, 0.25: 1.0}, 5e-4),
        (dict.fromkeys(FACTORS), 1e-3),
    ],
)
def test_which_rate_is_taken(late: dict[float, float | None], rate: float) -> None:
    found = decide(probes(late, own=0.001), 1e-3, STEPS)
    assert found.lr == pytest.approx(rate) and found.changed == (rate != 1e-3) and found.why


@pytest.mark.parametrize(
    ("losses", "held", "diverged"),
    [
        ((1.0, 1.2), (1.4, 1.5), False),
        ((1.0, 1.2), (1.5, 1.6), True),
        ((1.0, math.nan), (1.0,), True),
        ((1.0, 1.0), (math.inf,), True),
        ((1.0,), (), True),
    ],
)
def test_a_loss_that_climbs_or_is_no_number_has_diverged(
    losses: tuple[float, ...], held: tuple[float, ...], diverged: bool
) -> None:
    assert Probe(1.0, losses, held, 1).diverged is diverged


def gradients(groups: int, rows: int, width: int, noise: float, seed: int = 0) -> np.ndarray:
    """Mean gradients of groups of rows; the truth has length 1, so the noise scale is width * noise^2."""
    draw = np.random.default_rng(seed)
    truth = np.zeros(width)
    truth[0] = 1.0
    return truth + draw.normal(0, noise / math.sqrt(rows), (groups, width))


@pytest.mark.parametrize("rows", [1, 4, 16])
def test_the_noise_scale_is_that_of_known_noise_whatever_the_groups(rows: int) -> None:
    found = noise_scale(gradients(64, rows, 400, 0.2), rows)
    assert found.rows and found.low and found.high
    assert found.rows == pytest.approx(400 * 0.04, rel=0.25)
    assert found.low < 16 < found.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(60):
        found = noise_scale(gradients(16, 4, 200, 0.1, seed), 4)
        assert found.low and found.high
        covered += found.low < 2.0 < found.high
    assert covered >= 50


def test_a_gradient_that_drowns_has_no_scale() -> None:
    drowned = [noise_scale(np.random.default_rng(seed).normal(0, 1, (8, 2000)), 4).rows for seed in range(40)]
    assert drowned.count(None) >= 36


def test_a_sketch_keeps_inner_products_and_places() -> None:
    torch.manual_seed(0)
    one = [torch.randn(300, 200), None, torch.randn(5000)]
    other = [weight * 0.5 + torch.randn_like(weight) if weight is not None else None for weight in one]
    flat = [torch.cat([w.reshape(-1) for w in each if w is not None]).double() for each in (one, other)]
    a, b = sketch(one), sketch(other)
    assert a.shape == (SKETCH,) and (a == sketch(one)).all()
    size = float(flat[0].norm() * flat[1].norm())
    assert float(a @ b) == pytest.approx(float(flat[0] @ flat[1]), abs=0.06 * size)
    assert float(a @ a) == pytest.approx(float(flat[0] @ flat[0]), rel=0.06)


def test_the_smallest_size_that_is_nearly_as_fast_is_taken() -> None:
    tried = [Timed(2, 100, 4.0), Timed(4, 100, 1.0), Timed(8, 100, 0.98), Timed(16, 100, 2.0)]
    assert plateau(tried) == tried[1]
    assert plateau([*tried, Timed(32, 0, 0.0, fits=False)]) == tried[1]
    assert plateau([Timed(2, 0, 0.0, fits=False)]) is None and plateau([]) is None
