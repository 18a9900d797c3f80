"""Verdicts: met, missed or undecided, what it would take, and which target decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from tunesmith.evaluate.verdict import TargetResult, Verdict, judge
from tunesmith.metrics import Rows
from tunesmith.metrics.accuracy import Accuracy
from tunesmith.records import Prediction, Record, Span
from tunesmith.spec.sections import Target


def target(**written: object) -> Target:
    return Target.model_validate(written)


def right(hits: int, rows: int, channel: str = "email", name: str | None = None) -> list[Prediction]:
    return [
        Prediction(
            Record(f"{name or channel}{at}", "s", text="t", labels=("a",), slices={"channel": channel}),
            output="a" if at < hits else "b",
            expected="a",
        )
        for at in range(rows)
    ]


def timed(seconds: Sequence[float]) -> list[Prediction]:
    return [Prediction(Record(str(at), "s", text="t"), "x", "x", seconds=value) for at, value in enumerate(seconds)]


def only(verdict: Verdict) -> TargetResult:
    (result,) = verdict.targets
    return result


# One target


@pytest.mark.parametrize(
    ("hits", "outcome"),
    [
        (200, "met"),
        (187, "met"),
        (186, "undecided"),
        (180, "undecided"),
        (174, "undecided"),
        (173, "missed"),
        (0, "missed"),
    ],
)
def test_a_target_is_met_missed_or_undecided(hits: int, outcome: str) -> None:
    result = only(judge([target(metric="accuracy", at_least=0.9)], right(hits, 200)))
    assert result.outcome == outcome
    assert (result.value, result.num_rows, result.bound, result.sense) == (hits / 200, 200, 0.9, "at_least")
    assert (result.more_rows is None) == (outcome != "undecided") or hits == 180


def test_the_limit_is_one_sided_and_faces_the_bound() -> None:
    above = only(judge([target(metric="accuracy", at_least=0.9)], right(188, 200)))
    below = only(judge([target(metric="accuracy", at_least=0.9)], right(170, 200)))
    assert above.limit is not None and above.limit == pytest.approx(0.9065, abs=2e-3)
    assert below.limit is not None and below.limit == pytest.approx(0.8869, abs=2e-3)


def test_being_sure_needs_more() -> None:
    rows = right(188, 200)
    assert only(judge([target(metric="accuracy", at_least=0.9)], rows, confidence=0.95)).outcome == "met"
    assert only(judge([target(metric="accuracy", at_least=0.9)], rows, confidence=0.99)).outcome == "undecided"


@pytest.mark.parametrize(("share", "rows"), [(0.93, 100), (0.88, 100), (0.92, 50), (0.95, 40)])
def test_the_rows_it_asks_for_settle_it(share: float, rows: int) -> None:
    aim = [target(metric="accuracy", at_least=0.9)]
    result = only(judge(aim, right(round(share * rows), rows)))
    assert result.outcome == "undecided" and result.more_rows is not None
    # The share cannot be kept to the row, hence a tenth more and a fifth less.
    enough = round(1.1 * (rows + result.more_rows))
    assert only(judge(aim, right(round(share * enough), enough))).outcome == ("met" if share > 0.9 else "missed")
    fewer = round(0.8 * (rows + result.more_rows))
    assert only(judge(aim, right(round(share * fewer), fewer))).outcome == "undecided"


def test_the_rows_it_asks_for_settle_what_has_no_formula_too() -> None:
    def rows(count: int) -> list[Prediction]:
        spans = (Span(0, 1, "A"), Span(1, 2, "A"))
        record = Record("r", "s", text="t", spans=spans)
        return [Prediction(record, "", "", spans=spans[: 1 + at % 2]) for at in range(count)]

    aim = [target(metric="entity_f1", at_least=0.85)]
    result = only(judge(aim, rows(150)))
    assert result.outcome == "undecided" and result.more_rows is not None
    needed = 150 + result.more_rows
    assert only(judge(aim, rows(round(1.1 * needed)))).outcome == "met"
    assert only(judge(aim, rows(round(0.8 * needed)))).outcome == "undecided"


def test_a_value_on_the_bound_asks_for_no_number_of_rows() -> None:
    result = only(judge([target(metric="accuracy", at_least=0.9)], right(180, 200)))
    assert (result.outcome, result.more_rows) == ("undecided", None)
    assert "no number of rows" in result.why


def test_all_right_on_few_rows_is_not_enough() -> None:
    result = only(judge([target(metric="accuracy", at_least=0.9)], right(20, 20)))
    assert result.outcome == "undecided"
    assert result.more_rows == 5  # 25 of 25 have 0.9 as their one-sided limit
    assert only(judge([target(metric="accuracy", at_least=0.9)], right(25, 25))).outcome == "met"


def test_at_most_is_the_other_way_round() -> None:
    rows = [Prediction(Record(str(at), "s", text="t"), "", "x", nll=1.0 + at % 2, num_tokens=1) for at in range(100)]
    for bound, outcome in ((5.5, "met"), (4.5, "undecided"), (4.4, "undecided"), (3.5, "missed")):
        assert only(judge([target(metric="perplexity", at_most=bound)], rows)).outcome == outcome, bound


def test_higher_can_be_worse_than_a_bound_too() -> None:
    assert only(judge([target(metric="accuracy", at_most=0.5)], right(10, 100))).outcome == "met"
    assert only(judge([target(metric="accuracy", at_most=0.5)], right(90, 100))).outcome == "missed"


# Latency


def test_latency_is_held_in_its_unit() -> None:
    rows = timed([0.1] * 96 + [0.5] * 4)
    for bound, outcome in (("300 ms", "undecided"), ("1 s", "met"), ("50 ms", "missed")):
        result = only(judge([target(metric="latency_p95", at_most=bound)], rows))
        assert (result.outcome, result.unit) == (outcome, "ms"), bound
    assert only(judge([target(metric="latency_p95", at_most="300 ms")], timed([0.1] * 199 + [0.5]))).outcome == "met"


def test_too_few_timed_rows_say_how_many_it_takes() -> None:
    result = only(judge([target(metric="latency_p95", at_most="300 ms")], timed([0.1] * 40)))
    assert (result.outcome, result.limit, result.more_rows) == ("undecided", None, 19)
    assert "too few" in result.why
    assert only(judge([target(metric="latency_p95", at_most="300 ms")], timed([0.1] * 59))).outcome == "met"


def test_rows_nobody_timed_are_nothing_to_measure() -> None:
    result = only(judge([target(metric="latency_p95", at_most="300 ms")], timed([0.0] * 40)))
    assert (result.outcome, result.value, result.more_rows) == ("undecided", None, None)
    assert "nothing to measure" in result.why


# Slices


def test_slices_count_their_rows_alone() -> None:
    rows = [*right(95, 100, "email"), *right(10, 100, "fax")]
    email, fax = judge(
        [target(metric="accuracy", at_least=0.85, slice={"channel": channel}) for channel in ("email", "fax")], rows
    ).targets
    assert (email.outcome, email.value, email.num_rows) == ("met", 0.95, 100)
    assert (fax.outcome, fax.value, fax.slice) == ("missed", 0.1, {"channel": "fax"})


def test_a_slice_without_rows_is_undecided_and_says_so() -> None:
    verdict = judge([target(metric="accuracy", at_least=0.5, slice={"channel": "post"})], right(100, 100))
    assert only(verdict).outcome == "undecided"
    assert only(verdict).why == "no test row has channel=post"
    assert verdict.decision == "DON'T SHIP"


def test_no_rows_at_all_decide_nothing() -> None:
    assert only(judge([target(metric="accuracy", at_least=0.5)], [])).why == "there are no test rows"


# The decision


def test_it_ships_when_every_target_is_met_and_names_the_closest() -> None:
    verdict = judge([target(metric="accuracy", at_least=0.5), target(metric="f1_micro", at_least=0.85)], right(95, 100))
    assert (verdict.decision, verdict.exit_code, verdict.deciding) == ("SHIP", 0, 1)
    assert verdict.reason.startswith("all 2 targets are met; the closest is f1_micro at least 0.85: 0.95 on 100 rows")


def test_one_miss_is_enough_and_the_worst_is_named() -> None:
    aims = [target(metric="accuracy", at_least=bound) for bound in (0.5, 0.99, 0.97)]
    verdict = judge(aims, right(80, 100))
    assert [one.outcome for one in verdict.targets] == ["met", "missed", "missed"]
    assert (verdict.decision, verdict.exit_code, verdict.deciding) == ("DON'T SHIP", 3, 1)
    assert verdict.reason.startswith("accuracy at least 0.99 is missed: 0.8 on 100 rows, at most 0.85")


def test_undecided_does_not_ship_and_says_what_it_takes() -> None:
    verdict = judge([target(metric="accuracy", at_least=0.9)], right(93, 100))
    assert (verdict.decision, verdict.exit_code) == ("DON'T SHIP", 3)
    assert "is undecided" in verdict.reason
    assert f"about {only(verdict).more_rows} more would settle it" in verdict.reason


def test_a_miss_decides_before_what_is_undecided() -> None:
    aims = [target(metric="accuracy", at_least=0.9), target(metric="f1_micro", at_least=0.99)]
    assert judge(aims, right(90, 100)).deciding == 1


def test_without_targets_there_is_nothing_to_decide() -> None:
    verdict = judge([], right(1, 2))
    assert (verdict.decision, verdict.exit_code, verdict.deciding, verdict.targets) == ("NO TARGETS", 0, None, [])
    assert verdict.lines() == ["NO TARGETS: the goal names no targets, so there is nothing to decide"]


def test_shipping_by_chance_is_as_rare_as_said() -> None:
    """A model whose true accuracy is just the bound passes in about one test of twenty."""
    random = np.random.default_rng(1)
    aim = [target(metric="accuracy", at_least=0.8)]
    hits, times = np.unique(random.binomial(150, 0.8, 1000), return_counts=True)
    ships = [judge(aim, right(int(count), 150), resamples=10).decision == "SHIP" for count in hits]
    shipped = int(times[ships].sum())
    assert 0.02 <= shipped / 1000 <= 0.065


# Forms


def test_lines_show_every_target() -> None:
    aims = [target(metric="accuracy", at_least="90%"), target(metric="latency_p50", at_most="2 s")]
    first, *lines = judge(aims, right(100, 100)).lines()
    assert first.startswith("DON'T SHIP: latency_p50 at most 2000 ms is undecided")
    assert lines[0].startswith("  met        accuracy at least 0.9        1 on 100 rows, at least 0.97")
    assert lines[1].startswith("  undecided  latency_p50 at most 2000 ms")


def test_json_goes_both_ways() -> None:
    aims = [
        target(metric="accuracy", at_least=0.9, slice={"channel": "email"}),
        target(metric="accuracy", at_least=0.9, slice={"channel": "post"}),
        target(metric="latency_p95", at_most="1 s"),
    ]
    verdict = judge(aims, right(93, 100))
    text = json.dumps(verdict.to_json(), allow_nan=False)
    assert Verdict.from_json(json.loads(text)) == verdict


# Over another arm


def over(wins: int, losses: int, rows: int = 400, both: int = 0, **written: object) -> TargetResult:
    """The tuned model is wrong on `losses` rows, the linear arm on `wins` others, and both on the last ones."""
    tuned, linear = right(rows - both, rows), right(rows - both, rows)
    for at in range(losses):
        tuned[at] = replace(tuned[at], output="b")
    for at in range(losses, losses + wins):
        linear[at] = replace(linear[at], output="b")
    aim = target(metric="accuracy", over="linear", **written)
    return only(judge([aim], tuned, arms={"linear": linear[::-1], "tuned": tuned}))


def test_a_target_can_ask_to_be_ahead_of_another_arm() -> None:
    clear, tie, behind = over(40, 4, at_least=0.02), over(20, 20, at_least=0.05), over(4, 40, at_least=0.0)
    assert (clear.outcome, tie.outcome, behind.outcome) == ("met", "missed", "missed")
    assert clear.value == pytest.approx(0.09) and clear.limit is not None and 0.05 < clear.limit < 0.09
    assert "over linear on 400 rows" in clear.why
    assert clear.title == "accuracy over linear at least 0.02"


def test_it_can_ask_not_to_be_far_behind() -> None:
    """As good as, with a margin: what a smaller or cheaper model is to show."""
    assert over(20, 22, at_least=-0.05).outcome == "met"
    assert over(4, 40, at_least=-0.05).outcome == "missed"
    assert over(4, 24, rows=200, at_least=-0.07).outcome == "undecided"


def test_the_difference_is_paired_and_its_rows_to_settle_are_about_right() -> None:
    """Arms that err on the same rows need few to be told apart."""
    apart, alike = over(12, 2, at_least=0.0), over(12, 2, both=150, at_least=0.0)
    assert (apart.value, apart.limit) == (pytest.approx(alike.value), pytest.approx(alike.limit))
    found = over(12, 2, at_least=0.015)
    assert found.outcome == "undecided" and found.more_rows is not None
    scale = (400 + found.more_rows) / 400
    more = over(round(12 * scale * 1.15), round(2 * scale * 1.15), rows=round(400 * scale * 1.15), at_least=0.015)
    assert more.outcome == "met"


def test_other_rows_are_missed_in_words() -> None:
    class Rated(Accuracy):
        rows: ClassVar[Rows] = "review"

    aim = target(metric="accuracy", at_least=0.5).model_copy(update={"metric": Rated()})
    assert "no review of this run yet" in only(judge([aim], right(90, 100))).why
    rated = only(judge([aim], right(0, 100), beside={"review": right(30, 30)}))
    assert (rated.outcome, rated.num_rows, rated.value) == ("met", 30, 1)
