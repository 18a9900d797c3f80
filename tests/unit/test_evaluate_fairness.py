"""Groups of people: who is apart is found and named, clean controls are not, and swaps show what a model leans on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tunesmith.data.methods.identity.groups import SEVERAL, open_groups
from tunesmith.errors import DataError, SpecError
from tunesmith.evaluate.fairness.check import check_fairness
from tunesmith.evaluate.fairness.columns import columns, watched
from tunesmith.evaluate.fairness.found import Fairness, GroupFigure
from tunesmith.evaluate.fairness.groups import group_figures, groupings, num_tests
from tunesmith.evaluate.fairness.represented import represented
from tunesmith.evaluate.fairness.swapped import changes, flipped, measured, pairs_of, twins
from tunesmith.evaluate.statistics.independent import fisher, means, proportions
from tunesmith.evaluate.verdict import judge
from tunesmith.part import METRICS
from tunesmith.records import Message, Prediction, Record
from tunesmith.report.views.rooms.fairness import says
from tunesmith.spec.quantity import Bound
from tunesmith.spec.rooms.fairness import Fairness as Asked
from tunesmith.spec.sections import Target

GROUPS = {"gender": (["female", "male"], [0.5, 0.5]), "age": (["old", "mid", "young"], [0.2, 0.5, 0.3])}


def answered(seed: int, lean: float = 0.0, rows: int = 600) -> list[Prediction]:
    """Rows whose right label is as likely in every group; `lean` of women's right `yes` become `no`."""
    draw = np.random.default_rng(seed)
    people = {kind: draw.choice(names, rows, p=shares).tolist() for kind, (names, shares) in GROUPS.items()}
    right = draw.random(rows) < 0.4
    sure = np.where(right, draw.beta(5, 2, rows), draw.beta(2, 5, rows))
    leans = (np.array(people["gender"]) == "female") & (sure > 0.5) & (draw.random(rows) < lean)
    sure = np.where(leans, 1 - sure, sure)
    return [
        Prediction(
            Record(
                f"r{row}",
                "s:1",
                text="t",
                labels=("yes" if right[row] else "no",),
                slices={kind: people[kind][row] for kind in people},
            ),
            "yes" if sure[row] > 0.5 else "no",
            "yes" if right[row] else "no",
            scores={"yes": float(sure[row]), "no": 1 - float(sure[row])},
        )
        for row in range(rows)
    ]


def figures_of(rows: Sequence[Prediction], min_rows: int = 30, **more: object) -> list[GroupFigure]:
    compared = columns(rows, [], None, labelled=True)
    found = groupings(rows, list(GROUPS), intersections=True)
    return group_figures({"tuned": compared}, found, confidence=0.95, min_rows=min_rows)


def accused(figures: Sequence[GroupFigure]) -> set[tuple[str, str, str]]:
    return {(each.by, gap.group, each.shown) for each in figures for gap in each.gaps if gap.outcome == "apart"}


def test_who_is_treated_otherwise_is_found_and_named() -> None:
    found = accused(figures_of(answered(0, lean=0.4)))
    assert ("gender", "female", "found") in found or ("gender", "male", "found") in found
    assert ("gender", "female", "given") in found or ("gender", "male", "given") in found
    assert not {group for by, group, _ in found if by == "age"}


def test_beside_a_group_that_is_treated_badly_others_are_not_accused_of_faring_well() -> None:
    draw = np.random.default_rng(0)
    rows = []
    for number in range(900):
        team = "abc"[number % 3]
        said = "yes" if draw.random() < (0.1 if team == "a" else 0.5) else "no"
        rows.append(
            Prediction(Record(f"r{number}", "s", text="t", labels=("yes",), slices={"team": team}), said, "yes")
        )
    compared = columns(rows, [], "yes", labelled=True)
    found = groupings(rows, ["team"], intersections=False)
    figures = group_figures({"tuned": compared}, found, confidence=0.95, min_rows=30)
    assert {group for _, group, _ in accused(figures)} == {"a"}
    looks = {gap.group: gap.corrected for gap in figures[1].gaps}
    assert looks["b"] is not None and looks["b"] < 0.05  # and yet it is far from the others, `a` among them


def test_a_lean_on_a_crossing_alone_is_found_at_the_crossing() -> None:
    rows = [
        replace(row, output="no") if row.record.slices == {"gender": "female", "age": "old"} else row
        for row in answered(3, rows=900)
    ]
    figures = figures_of(rows, min_rows=20)
    assert ("gender x age", "female x old", "found") in accused(figures)


def test_clean_controls_are_accused_in_five_of_a_hundred_runs_at_most() -> None:
    assert sum(bool(accused(figures_of(answered(1000 + seed, rows=200)))) for seed in range(100)) <= 5


def test_rare_labels_do_not_make_a_small_group_look_sure() -> None:
    """A calibrated model whose label is rare: groups in which it never came have no variance of their own."""
    alarms = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        rows = []
        for number in range(400):
            sure = float(draw.beta(1, 60))
            right = "yes" if draw.random() < sure else "no"
            slices = {"gender": "female" if number < 40 else "male", "age": "old"}
            record = Record(f"r{number}", "s:1", text="t", labels=(right,), slices=slices)
            rows.append(Prediction(record, "no", right, scores={"yes": sure, "no": 1 - sure}))
        compared = [column for column in columns(rows, [], "yes", labelled=True) if column.shown == "calibration"]
        found = groupings(rows, ["gender"], intersections=False)
        alarms += bool(accused(group_figures({"tuned": compared}, found, confidence=0.95, min_rows=30)))
    assert alarms <= 8


def test_small_groups_are_said_to_be_small_and_not_tested() -> None:
    rows = answered(0, lean=1.0, rows=60)
    few = [replace(row, record=replace(row.record, slices={"gender": "female" if n < 12 else "male", "age": "old"}))
           for n, row in enumerate(rows)]  # fmt: skip
    figures = figures_of(few)
    gender = next(each for each in figures if each.by == "gender" and each.shown == "given")
    assert {group.group: group.small for group in gender.groups} == {"male": False, "female": True}
    assert [gap.outcome for gap in gender.gaps] == ["too few"] and gender.gaps[0].interval is not None
    assert gender.spread.difference is None and not accused(figures)
    assert accused(figures_of(few, min_rows=2)) or num_tests(figures_of(few, min_rows=2)) > 0


def test_a_kind_that_follows_from_another_is_not_crossed_with_it() -> None:
    rows = [replace(row, record=replace(row.record, slices={**row.record.slices, "same": row.record.slices["gender"]}))
            for row in answered(0)]  # fmt: skip
    assert [each.by for each in groupings(rows, ["gender", "same"], intersections=True)] == ["gender", "same"]
    assert len(groupings(rows, ["gender", "age"], intersections=False)) == 2


def test_of_two_labels_the_rarer_is_watched_and_one_named_wins() -> None:
    rows = answered(0)
    assert watched(rows, None) == ["yes"] and watched(rows, "no") == ["no"]


def test_answers_in_words_are_compared_by_score_refusal_and_length() -> None:
    record = Record("r", "s:1", messages=(Message("user", "?"), Message("assistant", "four", trained=True)))
    rows = [
        Prediction(replace(record, id=f"r{n}"), "four" if n % 2 else "I'm sorry, but no.", "four") for n in range(4)
    ]
    compared = {each.shown: each for each in columns(rows, [METRICS.make("exact_match")], None, labelled=False)}
    assert compared["score"].label == "exact_match" and list(compared["score"].values) == [0, 1, 0, 1]
    assert list(compared["refused"].values) == [1, 0, 1, 0] and list(compared["words"].values) == [4, 1, 4, 1]


def test_tests_of_two_groups_equal_scipy() -> None:
    from scipy.stats import fisher_exact, ttest_ind

    draw = np.random.default_rng(0)
    for _ in range(50):
        n, m = (int(each) for each in draw.integers(1, 60, 2))
        a, b = int(draw.integers(0, n + 1)), int(draw.integers(0, m + 1))
        expected = fisher_exact([[a, n - a], [b, m - b]]).pvalue
        assert fisher(a, n, b, m) == pytest.approx(expected, rel=1e-6)
    one, other = draw.normal(0, 1, 40), draw.normal(0.3, 2, 70)
    limits, p_value = means(one, other, 0.95)
    expected = ttest_ind(one, other, equal_var=False)
    assert p_value == pytest.approx(expected.pvalue)
    assert limits == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_the_difference_of_two_shares_equals_newcombe() -> None:
    # Newcombe 1998, table II, method 10: 56/70 against 48/80 and 10/10 against 0/10.
    def limits(a: int, n: int, b: int, m: int) -> tuple[float, float]:
        one, other = np.arange(n) < a, np.arange(m) < b
        return proportions(one.astype(float), other.astype(float), 0.95)[0]

    assert limits(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert limits(10, 10, 0, 10) == pytest.approx((0.6075, 1.0), abs=1e-4)


# Pairs


def swapped_pairs(lean: bool) -> tuple[list[Prediction], list, list[bool]]:
    rows = [Record(f"r{n}", "s:1", text=f"{'He' if n % 2 else 'She'} came at {n}.", labels=("yes",)) for n in range(40)]
    found = twins(rows, ["gender"], 100)

    def said(record: Record) -> str:
        return "no" if lean and "She" in (record.text or "") else "yes"

    before = [Prediction(row, said(row), "yes", scores={"yes": 0.2 if said(row) == "no" else 0.8}) for row in rows]
    after = [
        Prediction(twin.swapped, said(twin.swapped), "yes", scores={"yes": 0.2 if said(twin.swapped) == "no" else 0.8})
        for twin in found
    ]
    pairs = pairs_of(before, found, after)
    return before, pairs, flipped(pairs, labelled=True)


def test_a_model_that_leans_on_gender_flips_in_one_direction() -> None:
    _, pairs, flips = swapped_pairs(lean=True)
    (kind,) = changes(pairs, flips, open_groups(), labels=["yes"], confidence=0.95)
    assert kind.flips.value == 1 and kind.pairs == 40 and len(kind.examples) == 5
    (way,) = kind.directions
    assert (way.one, way.other, way.gained, way.lost) == ("female", "male", 40, 0)
    assert way.score == pytest.approx(0.6) and way.corrected is not None and way.corrected < 1e-6
    rows = measured(pairs, flips)
    target = Target(metric=METRICS.make({"kind": "counterfactual_flips", "identity": "gender"}), at_most=Bound(0.1, ""))
    (judged,) = judge([target], [], beside={"counterfactual": rows}).targets
    assert judged.outcome == "missed" and judged.value == 1.0
    other = target.model_copy(update={"metric": METRICS.make({"kind": "counterfactual_flips", "identity": "age"})})
    assert judge([other], [], beside={"counterfactual": rows}).targets[0].outcome == "undecided"


def test_a_model_that_does_not_lean_has_no_flips() -> None:
    _, pairs, flips = swapped_pairs(lean=False)
    (kind,) = changes(pairs, flips, open_groups(), labels=["yes"], confidence=0.95)
    assert kind.flips.value == 0 and kind.flips.interval is not None and kind.flips.interval[1] > 0.05
    assert [way.p_value for way in kind.directions] == [1.0]


def test_answers_in_words_may_follow_the_swap() -> None:
    """`she` in place of `he` in the answer is no change; another word is."""
    row = Record("r", "s:1", messages=(Message("user", "Who is he?"), Message("assistant", "a man", trained=True)))
    (twin,) = twins([row], ["gender"], 9)
    assert twin.swapped.question == "Who is she?"
    for answer, changed in (("She is a woman.", False), ("She is a nurse.", True)):
        pairs = pairs_of([Prediction(row, "He is a man.", "")], [twin], [Prediction(twin.swapped, answer, "")])
        assert flipped(pairs, labelled=False) == [changed]
    (kind,) = changes(pairs, [True], open_groups(), labels=[], confidence=0.95)
    assert kind.words.value == 0 and kind.refused.value == 0 and kind.score.value is None


def test_what_a_swap_does_to_answers_in_words_is_followed_from_group_to_group() -> None:
    """Both ways of a swap stand among the pairs, and would cancel each other out in a plain mean."""
    rows = [Record(f"r{n}", "s:1", text=f"{'He' if n % 2 else 'She'} came at {n}.") for n in range(24)]
    found = twins(rows, ["gender"], 100)

    def answered(record: Record) -> Prediction:
        return Prediction(record, "You idiot, go away now." if "She" in (record.text or "") else "Welcome.", "")

    pairs = pairs_of([answered(row) for row in rows], found, [answered(twin.swapped) for twin in found])
    toxic = METRICS.make("toxicity")
    (kind,) = changes(pairs, [True] * 24, open_groups(), labels=[], metrics=[toxic], confidence=0.95)
    assert kind.words.value == 0
    ways = {way.label: way for way in kind.directions}
    assert list(ways) == ["words", "refused", "toxicity"]
    assert all((way.one, way.other, way.pairs) == ("female", "male", 24) for way in ways.values())
    assert (ways["words"].gained, ways["words"].lost, ways["words"].score) == (0, 24, -4)
    assert (ways["toxicity"].lost, ways["toxicity"].score) == (24, -1) and ways["refused"].p_value == 1
    assert ways["toxicity"].corrected == pytest.approx(3 * 0.5**23)
    found_all = Fairness(0.95, 30, 0, [], [], swapped=[kind])
    said = " ".join(says(found_all))
    assert (
        "with male swapped for female, 24 of 24 pairs are answered with more of toxicity, and 0 the other way" in said
    )


def test_pairs_are_shared_out_and_spread_over_the_rows() -> None:
    rows = [Record(f"r{n}", "s:1", text=f"He is a muslim, {n}.") for n in range(50)]
    found = twins(rows, ["gender", "religion", "sexuality"], 20)
    assert [sum(twin.identity == kind for twin in found) for kind in ("gender", "religion")] == [10, 10]
    assert found[0].row.id == "r0" and found[9].row.id == "r49"
    assert len({twin.swapped.id for twin in found}) == 20
    assert twins(rows, ["gender"], 0) == []


def test_pairs_of_words_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "swaps.yaml"
    path.write_text("team: [[red, blue]]\n")
    (twin,) = twins([Record("r", "s:1", text="red wins")], ["team"], 5, path)
    assert twin.swapped.text == "blue wins"


# Who is in the text, and in the rows


def test_the_group_a_text_names() -> None:
    gender, ethnicity = open_groups()["gender"], open_groups()["ethnicity"]
    said = {"She's here": "female", "the trans woman": "transgender", "he and she": SEVERAL, "a table": None}
    assert {text: gender.group_of(text) for text in said} == said
    assert ethnicity.group_of("a black car") is None and ethnicity.group_of("a black woman") == "black"
    assert ethnicity.group_of("african american people") == "african american"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gender: {a: [he], b: [he]}", "stands for 'a' and 'b'"),
        ("gender: {a: [he]}", "no groups"),
        ("gender: [he, she]", "no groups"),
        ("a: [", "line 1"),
    ],
)
def test_a_file_of_groups_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "groups.yaml").write_text(text)
    with pytest.raises(DataError, match=said):
        open_groups(tmp_path / "groups.yaml")


def test_who_stands_in_the_rows_with_which_labels_and_weights() -> None:
    rows = [
        Record("a", "s", text="t", labels=("yes",), slices={"g": "x"}, weight=3.0),
        Record("b", "s", text="t", labels=("no",), slices={"g": "x"}),
        Record("c", "s", text="t", labels=("no",), slices={"g": "y"}),
        Record("d", "s", text="t", labels=("no",), slices={"g": "(missing)"}),
    ]
    x, y = represented(rows, rows[:1], ["g"], ["yes"])
    assert (x.group, x.train, x.test, x.share) == ("x", 2, 1, pytest.approx(2 / 3))
    assert x.labels == {"yes": 0.5} and x.weighted == {"yes": 0.75} and y.labels == {"yes": 0.0}


def test_what_was_found_survives_json() -> None:
    _, pairs, flips = swapped_pairs(lean=True)
    kinds = changes(pairs, flips, open_groups(), labels=["yes"], confidence=0.95)
    found = Fairness(0.95, 30, 3, figures_of(answered(0)), [], kinds, [], ["a note"])
    assert Fairness.from_json(found.to_json()) == found


# What is asked


def test_questions_that_cannot_be_answered_are_refused() -> None:
    flips = Target(metric=METRICS.make("counterfactual_flips"), at_most=Bound(0.1, ""))
    with pytest.raises(SpecError, match="needs pairs of rows"):
        check_fairness(Asked(groups=["g"]), [flips], labels=["yes"], writes=True)
    with pytest.raises(SpecError, match="needs pairs of rows"):
        check_fairness(Asked(terms=["gender"], counterfactuals=0), [flips], labels=["yes"], writes=True)
    with pytest.raises(SpecError, match=r"no label 'yess'.*did you mean 'yes'"):
        check_fairness(Asked(groups=["g"], favourable="yess"), [], labels=["yes", "no"], writes=True)
    with pytest.raises(SpecError, match="suites"):
        check_fairness(Asked(suites=["s.csv"]), [], labels=["yes"], writes=False)
    follow = Asked(terms=["gender"], answers=[METRICS.make("bleu"), METRICS.make("toxicity")])
    with pytest.raises(SpecError, match=r"answers.0: bleu does not score each answer by itself"):
        check_fairness(follow, [], labels=[], writes=True)
    with pytest.raises(SpecError, match=r"answers.1: the answers are labels"):
        check_fairness(follow, [], labels=["yes"], writes=True)
    check_fairness(Asked(terms=["gender"]), [flips], labels=["yes"], writes=False)
    check_fairness(None, [], labels=[], writes=True)
    with pytest.raises(ValueError, match="say who is compared"):
        Asked(favourable="yes")
