"""Agreement and consensus: worked examples, closed forms, and annotators whose faults are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tunesmith.data.methods.votes.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha, percent_agreement
from tunesmith.data.methods.votes.balance import imbalance
from tunesmith.data.methods.votes.consensus import Consensus, dawid_skene, majority, one_coin, tied
from tunesmith.data.methods.votes.label_model import label_model
from tunesmith.data.methods.votes.mace import mace
from tunesmith.data.methods.votes.quality import accuracy, annotators, functions
from tunesmith.data.methods.votes.table import Votes

WORKED = [
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
]
"""Krippendorff, Computing Krippendorff's Alpha-Reliability (2011): four observers, twelve units."""


def by_observer(rows: list[str]) -> Votes:
    said = [row.split() for row in rows]
    return Votes.of({f"o{who}": row[item] for who, row in enumerate(said) if row[item] != "."} for item in range(12))


@pytest.mark.parametrize(
    ("level", "expected"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_alpha_of_the_worked_example(level: str, expected: float) -> None:
    found = krippendorff_alpha(by_observer(WORKED), level)  # type: ignore[arg-type]
    assert found.value == pytest.approx(expected, abs=5e-4)
    assert found.items == 11, "the unit with one value says nothing"
    assert found.low < found.value < found.high


def test_ranks_may_be_words_in_a_stated_order() -> None:
    words = dict(zip("12345", ("awful", "bad", "fair", "good", "great"), strict=True))
    table = [{who: words[said] for who, said in item.items()} for item in items_of(by_observer(WORKED))]
    found = krippendorff_alpha(Votes.of(table), "ordinal", order=list(words.values()))
    assert found.value == pytest.approx(0.815, abs=5e-4)
    with pytest.raises(ValueError, match="float"):
        krippendorff_alpha(Votes.of(table), "interval")


def items_of(votes: Votes) -> list[dict[str, str]]:
    found: list[dict[str, str]] = [{} for _ in range(votes.num_patterns)]
    for pattern, who, what in zip(votes.of_V, votes.annotator_V, votes.label_V, strict=True):
        found[pattern][votes.annotators[who]] = votes.labels[what]
    return [dict(found[pattern]) for pattern in votes.pattern_N]


def test_kappas_of_tables_done_by_hand() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: 0.7 agree, 0.5 by chance.
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    votes = Votes.of({"a": one, "b": other} for one, other in pairs)
    assert cohen_kappa(votes, "a", "b").value == pytest.approx(0.4)
    assert percent_agreement(votes).value == pytest.approx(0.7)
    # Fleiss does not tell the two apart: shares 55 and 45 of 100.
    assert fleiss_kappa(votes).value == pytest.approx((0.7 - 0.505) / (1 - 0.505))
    assert votes.num_patterns == 4 and votes.num_items == 50


def test_fleiss_takes_items_with_one_number_of_votes() -> None:
    table = [{"a": "x", "b": "x", "c": "y"}] * 3 + [{"a": "y", "b": "y", "c": "y"}] * 2 + [{"a": "x", "b": "y"}]
    assert fleiss_kappa(Votes.of(table)).items == 5
    assert fleiss_kappa(Votes.of(table)).value == fleiss_kappa(Votes.of(table[:5])).value


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(60):
        # Two annotators of whom both are right in 0.8, labels even: they agree in 0.68, so kappa is 0.36.
        truth = generator.integers(0, 2, 150)
        said = [np.where(generator.random(150) < 0.8, truth, 1 - truth) for _ in range(2)]
        found = cohen_kappa(Votes.of({"a": str(a), "b": str(b)} for a, b in zip(*said, strict=True)), "a", "b")
        held += found.low <= 0.36 <= found.high
    assert 52 <= held <= 60


def test_what_cannot_be_measured_is_nan() -> None:
    nothing = Votes.of([{}, {"a": "x"}])
    assert math.isnan(krippendorff_alpha(nothing).value) and krippendorff_alpha(nothing).items == 0
    same = Votes.of([{"a": "x", "b": "x"}] * 4)
    assert percent_agreement(same).value == 1
    assert math.isnan(fleiss_kappa(same).value) and math.isnan(cohen_kappa(same, "a", "b").low)


def test_order_of_items_and_names_changes_nothing() -> None:
    votes, other = by_observer(WORKED), Votes.of(reversed(items_of(by_observer(WORKED))))
    assert krippendorff_alpha(votes).value == pytest.approx(krippendorff_alpha(other).value)
    assert (votes.labels, votes.annotators) == (other.labels, other.annotators)
    np.testing.assert_allclose(
        dawid_skene(votes).posterior_PC[votes.pattern_N],
        dawid_skene(other).posterior_PC[other.pattern_N][::-1],
        atol=1e-5,
    )


# Consensus --------------------------------------------------------------------------------------


def test_majority_gives_ties_to_the_commoner_label() -> None:
    votes = Votes.of([{"a": "x", "b": "y"}, {"a": "y"}, {"b": "y"}, {"a": "x"}, {"a": "z", "b": "x"}, {}, {"a": "y"}])
    found = majority(votes)
    assert [votes.labels[found.label_P[p]] for p in votes.pattern_N if p >= 0] == ["y", "y", "y", "x", "x", "y"]
    assert tied(votes)[votes.pattern_N[0]] and not tied(votes)[votes.pattern_N[1]]
    assert found.confidence_P[votes.pattern_N[0]] == pytest.approx(0.5)
    assert votes.pattern_N[5] == -1


def simulated(confusions: list[np.ndarray], *, items: int, each: int, shares: list[float], seed: int):  # type: ignore
    """Votes of annotators with known matrices on items with known labels."""
    generator = np.random.default_rng(seed)
    truth = generator.choice(len(shares), items, p=shares)
    votes = [
        {
            f"w{who:02}": f"l{generator.choice(len(shares), p=confusions[who][label])}"
            for who in generator.choice(len(confusions), each, replace=False)
        }
        for label in truth
    ]
    return Votes.of(votes), truth


def spammers_and_experts(size: int) -> list[np.ndarray]:  # type: ignore[type-arg]
    expert = np.eye(size) * 0.8 + 0.2 / size
    always = [np.tile(np.eye(size)[label], (size, 1)) for label in (0, 0, 1)]
    return [expert] * 5 + always + [np.full((size, size), 1 / size)] * 3


def confusers(size: int) -> list[np.ndarray]:  # type: ignore[type-arg]
    """Most take a label for the next one, always the same way."""
    wrong = np.eye(size) * 0.45 + np.roll(np.eye(size), 1, 1) * 0.55
    return [wrong] * 4 + [np.eye(size) * 0.85 + 0.15 / size] * 4


def right(votes: Votes, found: Consensus, truth: np.ndarray) -> float:  # type: ignore[type-arg]
    gold_N = np.array([votes.labels.index(f"l{label}") for label in truth])
    return accuracy(votes, found.label_P, gold_N)[0]


@pytest.mark.parametrize(
    ("method", "people", "gain"),
    [
        (dawid_skene, spammers_and_experts, 0.05),
        (mace, spammers_and_experts, 0.05),
        (dawid_skene, confusers, 0.1),
        (one_coin, lambda size: [np.eye(size) * a + (1 - a) / size for a in (0.9, 0.9, 0.1, 0.1, 0.1, 0.3)], 0.05),
    ],
    ids=["dawid_skene-spam", "mace-spam", "dawid_skene-confusion", "one_coin-skill"],
)
def test_consensus_is_better_than_majority(
    method: Callable[[Votes], Consensus],
    people: Callable[[int], list[np.ndarray]],
    gain: float,  # type: ignore
) -> None:
    votes, truth = simulated(people(3), items=400, each=5, shares=[0.4, 0.3, 0.3], seed=5)
    found = method(votes)
    assert found.converged
    assert right(votes, found, truth) > right(votes, majority(votes), truth) + gain


def test_few_votes_of_many_annotators_are_not_learned_by_heart() -> None:
    found = []
    for seed in range(4):
        people = [np.eye(4) * 0.7 + 0.075] * 40
        votes, truth = simulated(people, items=150, each=3, shares=[0.25] * 4, seed=seed)
        methods = (majority(votes), dawid_skene(votes), dawid_skene(votes, smoothing=0))
        found.append([right(votes, each, truth) for each in methods])
    plain, smoothed, raw = np.mean(found, 0)
    assert smoothed > raw + 0.03 and smoothed > plain - 0.03, found


def test_posteriors_are_calibrated_where_the_model_is_true() -> None:
    votes, truth = simulated([np.eye(2) * 0.5 + 0.25] * 6, items=3000, each=4, shares=[0.7, 0.3], seed=7)
    found = dawid_skene(votes)
    gold_N = np.array([votes.labels.index(f"l{label}") for label in truth])
    hit_N = found.label_P[votes.pattern_N] == gold_N
    assert found.confidence_P[votes.pattern_N].mean() == pytest.approx(hit_N.mean(), abs=0.03)


def test_annotators_are_told_apart() -> None:
    votes, _ = simulated(spammers_and_experts(3), items=500, each=5, shares=[0.4, 0.3, 0.3], seed=5)
    for found in (dawid_skene(votes), mace(votes)):
        rows = {row.name: row for row in annotators(votes, found)}
        assert all(rows[f"w{who:02}"].spam < 0.55 for who in range(5))
        assert all(rows[f"w{who:02}"].spam > 0.8 for who in range(5, 11))
        assert min(rows[f"w{who:02}"].accuracy for who in range(5)) > max(
            rows[f"w{w:02}"].accuracy for w in range(5, 11)
        )
    rows = {row.name: row for row in annotators(votes, dawid_skene(votes))}
    assert rows["w05"].confusion["l2"] == {"l0": pytest.approx(1.0)}
    assert rows["w00"].votes == votes.votes_A[0] and rows["w00"].with_others > rows["w05"].with_others  # type: ignore
    assert next(iter(rows)) in {f"w{who:02}" for who in range(5)}


def test_the_others_alone_are_asked_without_an_annotator() -> None:
    votes = Votes.of([{"a": "x", "b": "y"}, {"a": "x"}, {"a": "y", "b": "y"}])
    alone = votes.without(votes.annotators.index("a"))
    assert alone.num_items == 2 and alone.num_votes == 2
    assert majority(alone).label_P[alone.pattern_N[0]] == alone.labels.index("y")


# Labelling functions ----------------------------------------------------------------------------


def functions_that_abstain(seed: int, items: int = 1500) -> tuple[Votes, np.ndarray]:  # type: ignore[type-arg]
    """Each knows one label: speaks often of it, and now and then of the other."""
    generator = np.random.default_rng(seed)
    truth = (generator.random(items) < 0.3).astype(int)
    speaks = [(0, 0.5, 0.05), (0, 0.4, 0.35), (0, 0.4, 0.35), (1, 0.6, 0.05), (1, 0.5, 0.05), (1, 0.3, 0.28)]
    votes = [
        {
            f"f{number}": f"l{label}"
            for number, (label, own, other) in enumerate(speaks)
            if generator.random() < (own if label == true else other)
        }
        for true in truth
    ]
    return Votes.of(votes), truth


def test_label_model_weighs_functions_that_abstain() -> None:
    for seed in range(3):
        votes, truth = functions_that_abstain(seed)
        found = label_model(votes)
        assert right(votes, found, truth) > right(votes, majority(votes), truth) + 0.05
        # Dawid and Skene's model sees functions that only ever say one thing, and learns nothing of them.
        assert right(votes, found, truth) > right(votes, dawid_skene(votes), truth) + 0.05


def test_balance_is_what_labels_are_held_to() -> None:
    votes, truth = functions_that_abstain(1)
    rare = label_model(votes, balance={"l0": 0.95, "l1": 0.05})
    common = label_model(votes, balance={"l0": 0.3, "l1": 0.7})
    said = [votes.count_P @ found.label_P / votes.num_items for found in (rare, common)]
    assert said[0] < said[1]
    assert right(votes, label_model(votes, balance={"l0": 0.7, "l1": 0.3}), truth) > 0.85
    with pytest.raises(KeyError):
        label_model(votes, balance={"l0": 1.0})


def test_a_function_never_speaks_against_itself() -> None:
    votes = Votes.of([{"a": "x", "b": "y"}] * 30 + [{"a": "x", "c": "x"}] * 10 + [{"b": "y"}] * 30)
    confusion = label_model(votes).confusion_ATS
    assert confusion is not None
    for label in range(2):
        assert (confusion[:, label, label] >= confusion[:, 1 - label, label] - 1e-12).all()


def test_coverage_overlap_conflict_and_accuracy_of_functions() -> None:
    votes = Votes.of([{"f": "x", "g": "x"}, {"f": "x", "g": "y"}, {"f": "y"}, {}], ["x", "y"])
    rows = {row.name: row for row in functions(votes, np.array([0, 0, -1, 1]))}
    assert (rows["f"].coverage, rows["f"].overlap, rows["f"].conflict) == (0.75, 0.5, 0.25)
    assert (rows["g"].coverage, rows["g"].overlap, rows["g"].conflict) == (0.5, 0.5, 0.25)
    assert rows["f"].labels == ("x", "y") and rows["f"].votes == 3
    # Right on the two x; the third row is something nobody said.
    assert rows["f"].accuracy == pytest.approx(2 / 3) and rows["f"].judged == 3
    assert rows["g"].accuracy == 0.5
    assert functions(votes)[0].accuracy is None


# Balance ----------------------------------------------------------------------------------------


def test_imbalance_of_known_shares() -> None:
    found = imbalance(["a"] * 8 + ["b"] * 4 + ["c"] * 4)
    assert found.counts == {"a": 8, "b": 4, "c": 4} and found.shares["a"] == 0.5
    assert (found.ratio, found.majority) == (2.0, 0.5)
    assert found.effective == pytest.approx(2**1.5) and found.entropy == pytest.approx(1.5 / math.log2(3))
    assert imbalance({"c": 4, "b": 4, "a": 8, "d": 0}) == found
    even = imbalance(["a", "b", "c", "d"])
    assert (even.ratio, even.entropy, even.effective) == (1.0, pytest.approx(1.0), pytest.approx(4.0))
    assert (imbalance(["a"]).entropy, imbalance(["a"]).effective) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no labels"):
        imbalance([])
