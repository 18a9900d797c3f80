"""Mitigation that trains: what is planted in the rows is learned from them, and less so with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tests.golden.train_tiny import encoder, stage, train, weights_of

from tunesmith.data.encode.tokenize import Example
from tunesmith.data.passes.curate import apply
from tunesmith.data.room import Room
from tunesmith.data.steps.reweigh import Reweigh, balanced
from tunesmith.errors import UserError
from tunesmith.models.heads import pool
from tunesmith.models.inference.score import classify as predict
from tunesmith.models.model import Model
from tunesmith.models.packing.rows import hidden_of_rows
from tunesmith.records import Record
from tunesmith.train.collate import layout_of
from tunesmith.train.objectives._adversary import Adversary
from tunesmith.train.objectives._groups_apart import groups_apart
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.optimizers.adamw import AdamW

YES, NO = 0, 1
FEMALE, MALE = 7, 8


def planted(count: int, *, refused: float = 0.7, seed: int = 0) -> tuple[list[Record], list[Example]]:
    """Files of women and men, as many good as bad; so many good files of women were refused."""
    draw = np.random.default_rng(seed)
    records, examples = [], []
    for number in range(count):
        woman, good = draw.random() < 0.5, draw.random() < 0.5
        said = NO if not good or (woman and draw.random() < refused) else YES
        ids = np.array([5 if good else 6, FEMALE if woman else MALE, *draw.integers(10, 60, 3)], np.int32)
        slices = {"gender": "female" if woman else "male"}
        records.append(Record(f"r{number}", "s", text="t", labels=("yes" if said == YES else "no",), slices=slices))
        nothing = np.zeros(len(ids), np.bool_)
        examples.append(Example(f"r{number}", ids, nothing, np.zeros(len(ids), np.uint8), label=(said,)))
    return records, examples


def good_files_apart(model: Model) -> float:
    """How much likelier a man's good file is called good than a woman's."""
    _, examples = planted(400, seed=9)
    sure, _ = predict(model, examples, batch=200)
    good = np.array([example.ids[0] == 5 for example in examples])
    woman = np.array([example.ids[1] == FEMALE for example in examples])
    return float(sure[good & ~woman, YES].mean() - sure[good & woman, YES].mean())


def test_a_lean_is_learned_without_the_penalty_and_less_with_it(tmp_path: Path) -> None:
    records, examples = planted(256)
    apart = {}
    for name, objective in (
        ("plain", Classify()),
        ("fair", Classify(fair_by="gender", fair_aim="demographic_parity", fair_weight=20.0)),
    ):
        model = encoder("classify", classes=2)
        objective = objective.told(records)
        settings = stage(objective=objective, batch="32 rows", micro_batch="16 rows", duration="6 epochs")
        steps = train(tmp_path / name, model, examples, objective, train=settings)
        apart[name] = good_files_apart(model)
        assert ("groups_apart" in steps[-1].metrics) == (name == "fair")
    assert apart["plain"] > 0.4 and apart["fair"] < 0.5 * apart["plain"], apart


def guessed_beyond_labels(model: Model, examples: list[Example]) -> float:
    """How well a fresh classifier guesses a row's group from what the head reads, above saying the same of all."""
    model.train(False)
    batch = Classify().batch(examples, model)
    layout = layout_of(batch.tensors)
    with torch.no_grad():
        features = pool(hidden_of_rows(model, batch.tensors["ids_N"], layout), layout.lengths, model.head.pooling)
    woman = np.array([example.ids[1] == FEMALE for example in examples])
    guess = LogisticRegression(max_iter=2000).fit(features[::2], woman[::2])
    return float(guess.score(features[1::2], woman[1::2])) - max(woman.mean(), 1 - woman.mean())


def test_an_adversary_brings_groups_together_and_leaves_less_to_guess_them_by(tmp_path: Path) -> None:
    records, examples = planted(256)
    apart, guessed = {}, {}
    for name, objective in (
        ("plain", Classify()),
        ("adversary", Classify(fair_by="gender", fair_how="adversary", fair_aim="demographic_parity")),
    ):
        model, objective = encoder("classify", classes=2), objective.told(records)
        settings = stage(
            objective=objective, batch="32 rows", micro_batch="16 rows", duration="12 epochs", optimizer=AdamW(lr=1e-3)
        )
        steps = train(tmp_path / name, model, examples, objective, train=settings)
        apart[name], guessed[name] = good_files_apart(model), guessed_beyond_labels(model, planted(400, seed=9)[1])
        assert ("groups_guessed" in steps[-1].metrics) == (name == "adversary") and model.beside is None
    assert apart["plain"] > 0.4 and apart["adversary"] < 0.3 * apart["plain"], apart
    assert guessed["adversary"] < guessed["plain"] - 0.05, guessed


def test_the_gradient_of_an_adversary_is_turned_round() -> None:
    """Its own weights learn to guess; what it reads gets `weight` times the opposite; labels are told where asked."""
    draw = torch.Generator().manual_seed(0)
    features, has = torch.randn(6, 5, generator=draw), torch.eye(2)[[0, 1, 0, 1, 1, 0]]
    groups = torch.tensor([0, 1, 2, 0, 1, 2])
    for told in (0, 2):
        adversary, gradients = Adversary(5, told, 3, seed=1), []
        for weight in (None, 0.7):
            read = features.clone().requires_grad_()
            if weight is None:
                guess = adversary.layers(torch.cat([read, has[:, :told]], dim=1))
            else:
                guess = adversary(read, has, weight)
            adversary.zero_grad()
            torch.nn.functional.cross_entropy(guess, groups).backward()
            gradients.append((read.grad, [each.grad.clone() for each in adversary.parameters()]))
        (plain, own), (turned, same) = gradients
        assert torch.allclose(turned, -0.7 * plain) and all(map(torch.equal, own, same))
        swapped = adversary(features, 1 - has, 1.0)
        assert torch.equal(swapped, adversary(features, has, 1.0)) == (told == 0)


def test_a_training_with_an_adversary_goes_on_bit_equal(tmp_path: Path) -> None:
    records, examples = planted(40)
    objective = Classify(fair_by="gender", fair_how="adversary").told(records)
    settings = stage(objective=objective, batch="8 rows", micro_batch="4 rows", duration="8 steps")

    def trained(name: str, steps: int | None = None) -> dict[str, torch.Tensor]:
        model = encoder("classify", classes=2)
        train(tmp_path / name, model, examples, objective, train=settings, steps=steps, save_every=0.0)
        return weights_of(model)

    whole = trained("whole")
    trained("cut", steps=3)
    again = trained("cut")
    assert whole.keys() == again.keys() and not any(name.startswith("beside.") for name in whole)
    assert all(torch.equal(weight, again[name]) for name, weight in whole.items())


def test_groups_apart_is_the_squared_difference_of_means_without_its_noise() -> None:
    """Over many small batches its mean is that of all rows; the plain square of a batch is larger."""
    draw = torch.Generator().manual_seed(0)
    means = torch.tensor([0.3, 0.5, 0.5])
    found, naive = [], []
    for _ in range(1000):
        groups = torch.randint(0, 3, (12,), generator=draw)
        sure = (means[groups] + 0.2 * torch.randn(12, generator=draw))[:, None]
        has = torch.ones(12, 1)
        if torch.bincount(groups, minlength=3).min() < 2:
            continue
        found.append(float(groups_apart(sure, has, groups, 3, "demographic_parity")))
        by = [sure[groups == group].mean() for group in range(3)]
        naive.append(float(((by[0] - by[1]) ** 2 + (by[0] - by[2]) ** 2 + (by[1] - by[2]) ** 2) / 3))
    wanted = (0.04 + 0.04 + 0.0) / 3
    assert np.mean(found) == pytest.approx(wanted, abs=0.005) and np.mean(naive) > wanted + 0.01


def test_equalized_odds_compares_rows_with_the_same_label() -> None:
    has = torch.tensor([[1.0], [1.0], [0.0], [0.0]] * 2)
    groups = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    sure = torch.tensor([[0.9], [0.9], [0.1], [0.1], [0.9], [0.9], [0.1], [0.1]])
    assert float(groups_apart(sure, has, groups, 2, "equalized_odds")) == pytest.approx(0, abs=1e-6)
    sure[4:6] = 0.5  # the second group's right rows are found less often
    assert float(groups_apart(sure, has, groups, 2, "equalized_odds")) == pytest.approx(0.4**2 / 2, abs=1e-6)
    assert float(groups_apart(sure, has, groups, 2, "demographic_parity")) == pytest.approx(
        # Means 0.5 and 0.3; each square of a mean without the rows' products with themselves.
        (4 - 1.64) / 12 + (1.44 - 0.52) / 12 - 2 * 0.5 * 0.3, abs=1e-6)  # fmt: skip
    nobody = torch.full((8,), -1)
    assert float(groups_apart(sure, has, nobody, 2, "equalized_odds")) == 0


def test_validation_measures_the_loss_without_the_penalty() -> None:
    records, examples = planted(16)
    model = encoder("classify", classes=2)
    fair = Classify(fair_by="gender", fair_weight=50.0).told(records)
    losses = {}
    for training in (True, False):
        model.train(training)
        losses[training] = [
            float(each.loss(model, each.batch(examples, model)).sum.detach()) for each in (Classify(), fair)
        ]
    assert losses[False][0] == losses[False][1] and losses[True][0] != losses[True][1]


def test_rows_without_two_groups_are_refused() -> None:
    records, _ = planted(8)
    for group, said in (("female", "one group alone"), ("(missing)", "no group")):
        alone = [replace(record, slices={"gender": group}) for record in records]
        with pytest.raises(UserError, match=said):
            Classify(fair_by="gender").told(alone)
    for setting in ({"fair_how": "adversary"}, {"fair_aim": "demographic_parity"}, {"fair_weight": 2.0}):
        with pytest.raises(ValueError, match="needs groups"):
            Classify(**setting)
    assert Classify().told(records) == Classify() and Classify(fair_by="gender").columns() == ("gender",)


# Weights


def test_weights_are_those_of_kamiran_and_calders() -> None:
    cells = Counter({("m", "+"): 4, ("m", "-"): 1, ("f", "+"): 2, ("f", "-"): 3})
    assert balanced(cells) == pytest.approx(
        {("m", "+"): 5 * 6 / 40, ("m", "-"): 5 * 4 / 10, ("f", "+"): 5 * 6 / 20, ("f", "-"): 5 * 4 / 30}
    )


def test_weighed_rows_teach_no_lean() -> None:
    """Group and label are independent by weight, and a classifier that is told the group leans on it no more."""
    draw = np.random.default_rng(0)
    good, woman = draw.random(2000) < 0.5, draw.random(2000) < 0.5
    said = draw.random(2000) < 0.2 + 0.4 * good + 0.3 * ~woman
    records = [
        Record(
            f"r{n}", "s", text="t", labels=("yes" if said[n] else "no",), slices={"gender": "f" if woman[n] else "m"}
        )
        for n in range(2000)
    ]
    records = [*records, Record("x", "s", text="t", labels=("yes",), slices={"gender": "(missing)"}, weight=3.0)]
    result = apply(Reweigh(by="gender"), records, Room())
    weights = np.array([record.weight for record in result.kept])
    assert weights[-1] == 3.0
    weights = weights[:-1]
    assert weights.sum() == pytest.approx(2000) and weights[woman].sum() == pytest.approx(woman.sum())
    shares = [(weights * said)[group].sum() / weights[group].sum() for group in (woman, ~woman)]
    assert shares[0] == pytest.approx(shares[1])
    features = np.stack([good, woman], axis=1).astype(float)
    leans = [
        float(LogisticRegression(C=100).fit(features, said, sample_weight=each).coef_[0, 1]) for each in (None, weights)
    ]
    assert leans[0] < -1 and abs(leans[1]) < 0.25 * abs(leans[0]), leans


def test_a_column_that_no_row_has_is_refused() -> None:
    with pytest.raises(UserError, match="no row to train on has a value"):
        apply(Reweigh(by="team"), planted(4)[0], Room())
