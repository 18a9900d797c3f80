"""Balance: how many rows each class has before and after, which go, which are repeated, and what they weigh."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tunesmith.data.methods.augmenting.balance import effective_number, inverse_frequency, shared_out, spread, times
from tunesmith.data.passes.curate import StepResult, apply
from tunesmith.data.room import Room
from tunesmith.data.steps.class_weights import ClassWeights
from tunesmith.data.steps.oversample import Oversample
from tunesmith.data.steps.temperature_balance import TemperatureBalance
from tunesmith.data.steps.undersample import Undersample
from tunesmith.errors import UserError
from tunesmith.part import STEPS
from tunesmith.records import Record


def rows(**counts: int) -> list[Record]:
    made = []
    for label, count in counts.items():
        for number in range(count):
            text = " ".join(["word"] * (number % 10 + 1))
            made.append(
                Record(f"{label}{number}", "s:1", text=text, labels=(label,), slices={"channel": label.upper()})
            )
    return made


def sizes(result: StepResult) -> dict[str, int]:
    return dict(Counter(record.labels[0] for record in result.kept))


def told(result: StepResult, when: str) -> dict[str, int]:
    return {name: count[when] for name, count in result.findings.figures["rows of each class"].items()}


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("max", {"a": 50, "b": 50, "c": 50}),
        ("50%", {"a": 50, "b": 25, "c": 25}),
        (1.0, {"a": 50, "b": 50, "c": 50}),
        (22, {"a": 50, "b": 22, "c": 22}),
        (60, {"a": 60, "b": 60, "c": 60}),
    ],
)
def test_small_classes_are_filled_up_to_what_is_asked(to: Any, expected: dict[str, int]) -> None:
    given = rows(a=50, b=20, c=7)
    result = apply(STEPS.make({"kind": "oversample", "to": to}), given)  # type: ignore[arg-type]
    assert sizes(result) == expected == told(result, "after")
    assert told(result, "before") == {"a": 50, "b": 20, "c": 7}
    assert [record for record in result.kept if record.parent is None] == given
    copies = Counter(new.parent for new, _ in result.made if new.labels == ("c",))
    assert not copies or max(copies.values()) - min([*copies.values(), *([0] if len(copies) < 7 else [])]) <= 1


def test_a_copy_is_its_row_with_another_id_and_its_parent() -> None:
    result = apply(Oversample(to=3), rows(a=1))
    assert [(new.id, new.parent) for new, _ in result.made] == [("a0+copy2", "a0"), ("a0+copy3", "a0")]
    assert {new.text for new, _ in result.made} == {"word"}
    again = apply(Oversample(to=5), result.kept)
    assert len({record.id for record in again.kept}) == 5


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("min", {"a": 7, "b": 7, "c": 7}),
        ("50%", {"a": 14, "b": 14, "c": 7}),
        (10, {"a": 10, "b": 10, "c": 7}),
        (1.0, {"a": 7, "b": 7, "c": 7}),
    ],
)
def test_large_classes_are_cut_down_to_what_is_asked(to: Any, expected: dict[str, int]) -> None:
    given = rows(a=50, b=20, c=7)
    result = apply(STEPS.make({"kind": "undersample", "to": to}), given)  # type: ignore[arg-type]
    assert sizes(result) == expected == told(result, "after")
    assert {drop.reason for drop in result.dropped} == {"class reduced"}
    assert Undersample.chooses and TemperatureBalance.chooses, "what is left out is not lost"


def test_rows_are_drawn_so_that_their_lengths_stay_spread() -> None:
    for seed in range(5):
        result = apply(Undersample(to=10), rows(a=100), Room(seed=seed))
        assert sorted(len(str(record.text).split()) for record in result.kept) == list(range(1, 11))
    one, other = (apply(Undersample(to=10), rows(a=100), Room(seed=seed)).kept for seed in (1, 2))
    assert one != other


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="above 0"):
        STEPS.make({"kind": "undersample", "to": "0%"})


def test_a_temperature_evens_classes_out_and_keeps_their_sum() -> None:
    given = rows(a=81, b=9, c=10)
    same = apply(TemperatureBalance(temperature=1.0), given)
    assert same.kept == given
    two = apply(TemperatureBalance(temperature=2.0), given)
    root = np.sqrt([81, 9, 10])
    assert sum(sizes(two).values()) == 100
    np.testing.assert_allclose([sizes(two)[name] for name in "abc"], root / root.sum() * 100, atol=1)
    many = apply(TemperatureBalance(temperature=1000.0), given)
    assert max(sizes(many).values()) - min(sizes(many).values()) <= 1


@given(st.lists(st.integers(1, 500), max_size=8), st.floats(1, 50))
def test_shares_add_up_and_no_class_dies(sizes: list[int], temperature: float) -> None:
    counts = {str(number): size for number, size in enumerate(sizes)}
    found = shared_out(counts, temperature)
    assert sum(found.values()) == sum(counts.values())
    assert all(count >= 1 for count in found.values())
    ordered = sorted(counts, key=lambda name: counts[name])
    assert all(found[one] <= found[two] + 1 for one, two in pairwise(ordered))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.data())
def test_a_spread_draw_takes_different_places_and_follows_the_lengths(lengths: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(lengths)))
    places = spread(np.array(lengths), count, np.random.default_rng(0))
    assert len(set(places.tolist())) == count
    drawn, quantiles = np.sort(np.array(lengths)[places]), np.sort(lengths)
    low = quantiles[np.floor(np.arange(count) * len(lengths) / count).astype(int)]
    assert (drawn >= low).all()


def test_copies_are_shared_out_equally() -> None:
    found = times(7, 24, np.random.default_rng(0))
    assert found.sum() == 24
    assert set(found.tolist()) == {3, 4}


def test_weights_are_those_of_the_formulas_with_a_mean_of_one() -> None:
    counts = {"a": 900, "b": 90, "c": 10}
    inverse = inverse_frequency(counts)
    # scikit-learn's "balanced": rows / (classes * rows of the class)
    assert inverse == pytest.approx({name: 1000 / (3 * count) for name, count in counts.items()})
    effective = effective_number(counts, 0.99)
    assert effective["c"] / effective["a"] == pytest.approx((1 - 0.99**900) / (1 - 0.99**10))
    assert sum(effective[name] * count for name, count in counts.items()) == pytest.approx(1000)
    assert effective_number(counts, 1e-9) == pytest.approx(dict.fromkeys(counts, 1.0))
    assert effective_number(counts, 1 - 1e-9) == pytest.approx(inverse, rel=1e-4)


def test_rows_of_rare_classes_weigh_more() -> None:
    given = [*rows(a=9, b=1), Record("n", "s:1", text="no label", weight=3.0)]
    result = apply(ClassWeights(), given)
    weights = {record.id: record.weight for record in result.kept}
    assert weights["b0"] == pytest.approx(9 * weights["a0"])
    assert weights["n"] == 3.0
    assert {change.reason for change in result.changed} == {"weighed by its class"}
    shares = result.findings.figures["share of the loss of each class"]
    assert {name: (share["before"], share["after"]) for name, share in shares.items()} == {
        "a": (0.9, 0.5),
        "b": (0.1, 0.5),
    }
    effective = apply(ClassWeights(formula="effective_number", beta=0.5), given)
    assert 1 < {record.id: record.weight for record in effective.kept}["b0"] < weights["b0"]


def test_a_weight_that_was_there_is_multiplied() -> None:
    given = [Record("x", "s", text="x", labels=("a",), weight=2.0), *rows(b=3)]
    weights = {record.id: record.weight for record in apply(ClassWeights(), given).kept}
    assert weights["x"] == pytest.approx(2 * 3 * weights["b0"])


def test_classes_may_be_the_values_of_a_column() -> None:
    step = Oversample(by="channel")
    assert step.columns() == ("channel",)
    assert Oversample().columns() == ()
    assert told(apply(step, rows(a=5, b=2)), "after") == {"A": 5, "B": 5}
    with pytest.raises(UserError, match="column 'region'"):
        apply(Oversample(by="region"), rows(a=5))


def test_a_row_of_several_labels_belongs_to_the_rarest() -> None:
    given = [Record(f"r{n}", "s", text="x", labels=("joy",)) for n in range(6)]
    given += [Record(f"q{n}", "s", text="x", labels=("joy", "grief")) for n in range(2)]
    assert told(apply(Oversample(), given), "before") == {"joy": 6, "grief": 2}
    assert told(apply(Oversample(), given), "after") == {"joy": 6, "grief": 6}


def test_rows_without_a_class_are_left_alone() -> None:
    given = [Record(f"r{n}", "s", text="x") for n in range(6)]
    for step in (Oversample(), Undersample(), TemperatureBalance(), ClassWeights()):
        result = apply(step, given)
        assert result.kept == given
