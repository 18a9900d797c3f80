"""What people rate: rubric, a spread and fair sample, blinding and dealing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.unit.report_fixture import label_predictions, records
from tests.unit.review_fixture import ALL_KINDS, RUBRIC, rubric

from tunesmith.errors import SpecError, UserError
from tunesmith.evaluate.review.draw import lay_out
from tunesmith.evaluate.review.rubric import Likert, Preference, read_rubric
from tunesmith.evaluate.review.sample import features, pivotal, sample

ROWS = records(200)
ARMS = {"base": label_predictions(ROWS, 0.4, seed=1), "tuned": label_predictions(ROWS, 0.9, seed=2)}


# Rubric


def read(tmp_path: Path, text: str, name: str = "rubric.yaml"):
    (tmp_path / name).write_text(text)
    return read_rubric(tmp_path / name)


def test_a_rubric_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, RUBRIC)
    assert found.title == "Answers to tickets" and found.reference and found.compares
    helpful, safe, tone, preference = found.criteria
    assert helpful.words() == ["not at all", "", "", "", "completely"] and helpful.level == "ordinal"
    assert safe.values() == ["yes", "no"] and safe.number("yes") == 1 and tone.number("warm") is None
    assert preference.values() == ["A", "tie", "B"]
    keys = [question.key for question in found.questions(["A", "B"])]
    assert keys == ["helpful-a", "safe-a", "tone-a", "helpful-b", "safe-b", "tone-b", "preference"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("name: helpful", "name: Helpful!"), "rubric.yaml:8 criteria.0.name"),
        (("anchors: [not at all, completely]", "anchors: [a, b, c]"), "give two anchors for the ends or 5"),
        (("name: safe", "name: helpful"), "two criteria have the same name"),
        (("options: [warm, neutral, cold]", "options: [warm, warm]"), "options must differ"),
        (("kind: yes_no", "kind: maybe"), "criteria.1"),
        (("title:", "titel:"), "no field 'titel' (did you mean 'title'?)"),
        (("reference: true", "reference: 1"), "reference"),
    ],
)
def test_a_wrong_rubric_is_refused_with_its_place(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, RUBRIC.replace(*change))
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "criteria: []", "a: [", "criteria: [1]"])
def test_what_is_no_rubric_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError):
        read(tmp_path, text)
    with pytest.raises(SpecError, match="cannot be read"):
        read_rubric(tmp_path / "none.yaml")


def test_how_far_apart_raters_may_be() -> None:
    point = Likert(name="x", question="?")
    assert not point.differ(["3", "4"]) and point.differ(["2", "4"]) and not point.differ(["5"])
    assert Likert(name="x", question="?", tolerance=0).differ(["3", "4"])
    assert Likert(name="x", question="?", points=7, anchors=list("abcdefg")).words() == list("abcdefg")
    assert Preference(name="x", question="?", kind="preference", ties=False).values() == ["A", "B"]
    assert ALL_KINDS.criteria[1].differ(["yes", "no"])


# Sample


def test_every_row_has_the_same_chance() -> None:
    """Each of 30 rows is in a sample of 10 in a third of 450 draws, clusters or not."""
    points = np.concatenate([np.random.default_rng(0).normal(size=(20, 2)), np.full((10, 2), 9.0)])
    random, counts = np.random.default_rng(1), np.zeros(30)
    for _ in range(450):
        taken = pivotal(points, 10, random)
        assert len(set(taken.tolist())) == 10
        counts[taken] += 1
    # The spread of a count is 10; of thirty none lies four of them away.
    assert np.abs(counts - 150).max() < 40


def test_it_is_spread_more_evenly_than_by_chance() -> None:
    """How many of each label, channel and region are drawn is nearer to their share than in a plain sample."""

    def off(chosen: list[int]) -> float:
        total = 0.0
        for of in (lambda row: row.labels[0], lambda row: row.slices["channel"], lambda row: row.slices["region"]):
            all_, own = Counter(map(of, ROWS)), Counter(of(ROWS[row]) for row in chosen)
            total += sum((own[name] - count * len(chosen) / len(ROWS)) ** 2 for name, count in all_.items())
        return total

    spread = np.mean([off(sample(ARMS["tuned"], 40, seed)) for seed in range(3)])
    plain = np.mean([off(np.random.default_rng(seed).choice(200, 40, replace=False).tolist()) for seed in range(40)])
    assert spread < 0.5 * plain


def test_the_seed_draws_it_and_all_rows_are_taken_when_few() -> None:
    assert sample(ARMS["tuned"], 20, 3) == sample(ARMS["tuned"], 20, 3) != sample(ARMS["tuned"], 20, 4)
    assert sample(ARMS["tuned"][:5], 20, 0) == [0, 1, 2, 3, 4]
    assert np.isfinite(features(ARMS["tuned"][:3], 0)).all()


# Blinding and dealing


def test_answers_are_blind_and_shuffled() -> None:
    layout = lay_out(ARMS, ALL_KINDS, ["anna", "ben"], items=60)
    first = Counter(item.hidden["arms"]["A"] for item in layout.items)
    assert 15 < first["base"] < 45
    for item in layout.items:
        assert "base" not in str(item.shown) and "tuned" not in str(item.shown)
        for letter, arm in item.hidden["arms"].items():
            row = next(row for row in ARMS[arm] if row.record.id == item.hidden["record"])
            assert item.shown["outputs"][letter] == row.output
        assert item.shown["reference"] is None
    assert lay_out(ARMS, rubric({"name": "x"}, reference=True), ["anna"], items=2).items[0].shown["reference"]


def test_the_shared_are_rated_by_all_and_the_others_by_each() -> None:
    raters = ["anna", "ben", "cara"]
    layout = lay_out(ARMS, ALL_KINDS, raters, items=50, shared=0.2, each=2)
    counts = Counter(item for places in layout.places.values() for item in places)
    assert Counter(counts.values()) == {3: 10, 2: 40}
    assert max(map(len, layout.places.values())) - min(map(len, layout.places.values())) <= 2
    assert all(places != sorted(places) for places in layout.places.values())
    assert layout == lay_out(ARMS, ALL_KINDS, raters, items=50, shared=0.2, each=2)
    assert layout != lay_out(ARMS, ALL_KINDS, raters, items=50, shared=0.2, each=2, seed=1)


@pytest.mark.parametrize(
    ("arms", "raters", "settings", "said"),
    [
        ({"tuned": ARMS["tuned"]}, ["anna"], {}, "a preference is asked of two arms"),
        ({"base": ARMS["base"][1:], "tuned": ARMS["tuned"]}, ["anna"], {}, "different rows"),
        ({"base": [], "tuned": []}, ["anna"], {}, "no test rows"),
        (ARMS, [], {}, "raters need names"),
        (ARMS, ["anna", "anna"], {}, "raters need names that differ"),
        (ARMS, ["../anna"], {}, "no name for a rater"),
        (ARMS, ["anna\n"], {}, "no name for a rater"),
        (ARMS, ["anna"], {"each": 2}, "rated by 2 people, and there are 1"),
    ],
)
def test_what_does_not_fit_is_refused(arms, raters, settings, said) -> None:
    with pytest.raises(UserError, match=said):
        lay_out(arms, ALL_KINDS, raters, items=5, **settings)
