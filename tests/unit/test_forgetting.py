"""Retention: what is kept of what the base could do, and when nothing can be said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tunesmith.errors import SpecError
from tunesmith.evaluate.suites.ask import Answer
from tunesmith.evaluate.suites.forgetting import Forgetting, forgetting, retention_rows
from tunesmith.evaluate.suites.suite import Suite, read_suite
from tunesmith.evaluate.verdict import judge
from tunesmith.metrics.retention import Retention
from tunesmith.records import Prediction, Record
from tunesmith.spec.load import parse
from tunesmith.spec.sections import Target


def rows(before: list[float], after: list[float], chance: float = 0.0, ability: str = "sums") -> list[Prediction]:
    return [
        Prediction(
            Record(f"{ability}/{n}", "", text="q", slices={"ability": ability}),
            "",
            "",
            measured={"before": b, "after": a, "chance": chance},
        )
        for n, (b, a) in enumerate(zip(before, after, strict=True))
    ]


def target(**said: object) -> Target:
    return Target.model_validate_json(json.dumps(said))


def test_retention_is_the_ratio_of_sums_above_chance() -> None:
    made = rows([0.75, 0.5, 0.25], [0.5, 0.5, 0.25], chance=0.25)
    assert Retention().score(made).value == pytest.approx(0.5 / 0.75)
    assert Retention().score(rows([0.8, 0.4], [0.6, 0.3])).value == pytest.approx(0.75)


def test_an_ability_is_measured_on_its_own_rows() -> None:
    made = [*rows([0.8] * 4, [0.4] * 4, ability="sums"), *rows([0.5] * 4, [0.5] * 4, ability="facts")]
    assert Retention(ability="sums").score(made).value == pytest.approx(0.5)
    assert Retention(ability="facts").score(made).value == pytest.approx(1.0)
    assert Retention(ability="facts").score(made).num_rows == 4
    assert Retention().score(made).value == pytest.approx(3.6 / 5.2)


def test_resamples_are_exact() -> None:
    draw = np.random.default_rng(0)
    made = rows(draw.uniform(0.3, 1, 30).tolist(), draw.uniform(0.2, 0.9, 30).tolist(), chance=0.25)
    metric, places = Retention(), draw.integers(0, 30, 30)
    weights = np.bincount(places, minlength=30)[None].astype(float)
    again = metric.score([made[place] for place in places]).value
    assert metric.resampled(metric.statistics(made), weights)[0] == pytest.approx(again)


def test_a_base_that_guesses_has_nothing_to_keep() -> None:
    guessing = rows([0.2, 0.3] * 20, [0.9] * 40, chance=0.25)
    found = forgetting(guessing).abilities[0]
    assert found.retention.value is None and "not clearly better than guessing" in found.doubt
    assert np.isnan(Retention().score(rows([0.2] * 5, [0.9] * 5, chance=0.25)).value)
    barely = forgetting(rows([0.2, 0.32] * 20, [0.9] * 40, chance=0.25))
    verdict = judge(
        [target(metric="retention", at_least=0.9)],
        [],
        beside={"retention": rows([0.2, 0.32] * 20, [0.9] * 40, 0.25)},
        doubts=barely.doubts(),
    )
    assert verdict.targets[0].outcome == "undecided" and "guessing" in verdict.targets[0].why


def test_an_ability_that_the_base_lacks_is_no_part_of_all_together() -> None:
    """A base that is below chance at one thing would else seem to have little to keep of the other."""
    known, guessed = rows([0.8] * 40, [0.6] * 40, ability="facts"), rows([0.1] * 40, [0.1] * 40, 0.25, "sums")
    found = forgetting([*known, *guessed])
    whole = found.abilities[-1]
    assert (whole.ability, whole.num_rows, whole.doubt) == (None, 40, "") and whole.retention.value == pytest.approx(
        0.75
    )
    assert found.counted([*known, *guessed]) == known and set(found.doubts()) == {"retention(ability=sums)"}
    wanted = [target(metric={"kind": "retention", "ability": "sums"}, at_least=0.5)]
    verdict = judge(wanted, [], beside={"retention": known}, doubts=found.doubts())
    assert verdict.targets[0].outcome == "undecided" and "guessing" in verdict.targets[0].why


def test_a_model_that_lost_everything_is_found_out() -> None:
    """A quarter is right by chance; without taking it off, half would seem to be kept."""
    lost = rows([0.5, 0.55] * 30, [0.25] * 60, chance=0.25)
    found = forgetting(lost)
    assert found.abilities[-1].retention.value == pytest.approx(0.0) and not found.doubts()
    verdict = judge([target(metric="retention", at_least=0.5)], [], beside={"retention": lost})
    assert verdict.targets[0].outcome == "missed"


def test_targets_on_retention_read_its_rows_and_no_others() -> None:
    kept = rows([0.8, 0.6] * 40, [0.79, 0.6] * 40)
    wanted = [
        target(metric="retention", at_least=0.9),
        target(metric={"kind": "retention", "ability": "sums"}, at_least=0.9),
    ]
    verdict = judge(wanted, [], beside={"retention": kept})
    assert [found.outcome for found in verdict.targets] == ["met", "met"] and verdict.decision == "SHIP"
    alone = judge(wanted[:1], kept)
    assert alone.targets[0].why == "no abilities were measured before and after"


def test_rows_carry_both_scores_and_survive_a_file(tmp_path: Path) -> None:
    suite = read_suite("facts", most=4)

    def sure(share: float):  # type: ignore[no-untyped-def]
        def asked(suite: Suite) -> list[Answer]:
            other = (1 - share) / 3
            return [
                Answer(likely=tuple(np.log(share if n == item.right else other) for n in range(4)))
                for item in suite.items
            ]

        return asked

    made = retention_rows([suite], sure(0.7), sure(0.5))
    assert made[0].measured == {"before": pytest.approx(0.7), "after": pytest.approx(0.5), "chance": 0.25}
    assert made[0].record.slices == {"ability": "facts"} and made[0].expected == "Paris"
    found = forgetting(made)
    assert found.abilities[-1].ability is None
    assert found.abilities[-1].retention.value == pytest.approx(0.25 / 0.45)
    assert Forgetting.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


def test_two_sources_of_one_name_are_refused() -> None:
    def spec(*sources: str, **more: object) -> str:
        retention = {"sources": list(sources), **more}
        return json.dumps({"name": "x", "data": {"sources": ["a.jsonl"]}, "evaluate": {"retention": retention}})

    parsed, _ = parse(spec("facts", "./own/faq.jsonl", max_rows=5), "x.json")
    assert parsed.evaluate.retention is not None and parsed.evaluate.retention.max_rows == 5
    with pytest.raises(SpecError, match="two sources are called faq"):
        parse(spec("faq.jsonl", "other/faq/"), "x.json")
