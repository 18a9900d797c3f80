"""What a verdict must not be read without: planted situations, each told for what it is."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tunesmith.evaluate.caveats.contamination import Contamination, Leak, clean
from tunesmith.evaluate.caveats.weigh import FEWEST_CLEAN, weigh
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.verdict import Verdict, judge
from tunesmith.part import METRICS
from tunesmith.records import Prediction, Record
from tunesmith.spec.sections import Target

CHANNELS = ("email", "phone", "chat")
SIMPLER = frozenset({"base", "majority", "linear", "few_shot"})
ROWS = [
    Record(
        f"r{at}", f"t.jsonl:{at + 1}", text=f"row {at}", labels=("ab"[at % 2],), slices={"channel": CHANNELS[at % 3]}
    )
    for at in range(300)
]


def arm(share: float | Mapping[str, float], seed: int) -> list[Prediction]:
    """Right on that share of the rows, or on such a share of each channel's."""
    draw = random.Random(seed)
    made = []
    for row in ROWS:
        wanted = share if isinstance(share, float) else share[row.slices["channel"]]
        made.append(Prediction(row, row.labels[0] if draw.random() < wanted else "x", row.labels[0]))
    return made


def weighed(
    arms: dict[str, list[Prediction]], at_least: float = 0.8, met: Contamination | None = None, metric: str = "accuracy"
) -> Verdict:
    left = {name: clean(rows, met) for name, rows in arms.items()}
    comparison = compare(left, [METRICS.make(metric)], slices=["channel"], resamples=200)  # type: ignore[list-item]
    targets = [Target.model_validate({"metric": metric, "at_least": at_least})]
    return weigh(judge(targets, left["tuned"], resamples=200), comparison, met, SIMPLER)


def leaked(count: int) -> Contamination:
    leaks = [Leak(row.id, row.source, "train", f"x{row.id}", "train.jsonl:7", "exact", 1.0) for row in ROWS[:count]]
    return Contamination(len(ROWS), 1000, leaks)


def kinds(verdict: Verdict) -> list[str]:
    return [warning.kind for warning in verdict.warnings]


def test_a_sound_gain_has_no_warning() -> None:
    verdict = weighed({"base": arm(0.5, 1), "majority": arm(0.5, 2), "linear": arm(0.7, 3), "tuned": arm(0.95, 4)})
    assert (verdict.decision, kinds(verdict)) == ("SHIP", [])


def test_a_linear_model_that_beats_it_forbids_to_ship_with_figures() -> None:
    verdict = weighed({"base": arm(0.5, 1), "linear": arm(0.97, 3), "tuned": arm(0.85, 4)}, at_least=0.7)
    assert (verdict.decision, verdict.deciding, kinds(verdict)) == ("DON'T SHIP", None, ["simpler"])
    assert verdict.targets[0].outcome == "met" and verdict.exit_code == 3
    assert verdict.reason == verdict.warnings[0].text and verdict.warnings[0].blocks
    assert verdict.reason.startswith("A linear model beats the tuned one by accuracy: tuned 0.8")
    assert "linear 0.9" in verdict.reason and "(p below 0.001 among all that was compared)" in verdict.reason


def test_an_arm_that_is_better_by_one_target_and_worse_by_another_forbids_nothing() -> None:
    """The base is right more often; the tuned model's answers are short, which a target asks for as well."""
    base = [replace(row, output=f"{row.output} as I would say") for row in arm(0.0, 1)]
    base = [replace(row, output=row.expected) if at % 10 else row for at, row in enumerate(base)]
    arms = {"base": base, "tuned": arm(0.7, 4)}
    metrics = [METRICS.make("accuracy"), METRICS.make("answer_length")]
    comparison = compare(arms, metrics, resamples=200)  # type: ignore[arg-type]
    wanted = [
        {"metric": "accuracy", "at_least": 0.6},
        {"metric": "answer_length", "at_most": 1.5},
    ]
    targets = [Target.model_validate(target) for target in wanted]
    verdict = weigh(judge(targets, arms["tuned"], resamples=200), comparison, None, SIMPLER)
    assert (verdict.decision, kinds(verdict)) == ("SHIP", ["loss"]) and not verdict.warnings[0].blocks
    alone = weigh(judge(targets[:1], arms["tuned"], resamples=200), comparison, None, SIMPLER)
    assert (alone.decision, alone.warnings[0].blocks) == ("DON'T SHIP", True)


def test_a_linear_model_that_ties_is_said() -> None:
    verdict = weighed({"base": arm(0.5, 1), "linear": arm(0.9, 3), "tuned": arm(0.9, 4)})
    assert kinds(verdict) == ["simpler"] and "does as well" in verdict.warnings[0].text


def test_several_that_tie_are_said_at_once() -> None:
    arms = {"majority": arm(0.2, 1), "linear": arm(0.9, 3), "few_shot": arm(0.88, 5), "tuned": arm(0.9, 4)}
    verdict = weighed(arms)
    assert (verdict.decision, kinds(verdict)) == ("SHIP", ["simpler"])
    assert "2 arms that cost less than tuning do as well: by accuracy, tuned 0." in verdict.warnings[0].text
    assert ", linear 0." in verdict.warnings[0].text and ", few_shot 0." in verdict.warnings[0].text
    assert "majority" not in verdict.warnings[0].text


def test_the_commonest_label_is_a_simpler_model_too() -> None:
    verdict = weighed({"majority": arm(0.9, 3), "tuned": arm(0.9, 4)})
    assert kinds(verdict) == ["simpler"] and "commonest label" in verdict.warnings[0].text


def test_a_gain_that_is_noise_is_said() -> None:
    verdict = weighed({"base": arm(0.90, 1), "tuned": arm(0.91, 4)})
    assert (verdict.decision, kinds(verdict)) == ("SHIP", ["noise"])


def test_a_model_that_got_worse_is_said_to_have() -> None:
    verdict = weighed({"base": arm(0.97, 1), "tuned": arm(0.85, 4)}, at_least=0.7)
    assert kinds(verdict)[0] == "loss" and "Tuning made it worse by accuracy" in verdict.warnings[0].text
    assert (verdict.decision, verdict.reason) == ("DON'T SHIP", verdict.warnings[0].text)
    assert "noise" not in kinds(verdict)


def test_a_slice_that_got_worse_is_named_though_all_rows_gained() -> None:
    shares = {"email": 0.99, "chat": 0.99, "phone": 0.55}
    verdict = weighed({"base": arm(0.8, 1), "tuned": arm(shares, 4)}, at_least=0.7)
    assert "slice" in kinds(verdict)
    said = next(warning.text for warning in verdict.warnings if warning.kind == "slice")
    assert said.startswith("On channel 'phone' (100 rows) tuning made it worse by accuracy")


def test_a_slice_that_is_as_it_was_is_not_named() -> None:
    verdict = weighed(
        {"base": arm(0.8, 1), "tuned": arm({"email": 0.99, "chat": 0.99, "phone": 0.76}, 4)}, at_least=0.7
    )
    assert "slice" not in kinds(verdict)


def test_leaked_rows_are_counted_and_do_not_decide() -> None:
    """150 rows were learned by heart; on the others the model fails."""
    tuned = [
        Prediction(row.record, row.expected, row.expected) if at < 150 else row for at, row in enumerate(arm(0.5, 4))
    ]
    arms = {"base": arm(0.2, 1), "tuned": tuned}
    assert weighed(arms, at_least=0.65).decision == "SHIP"
    verdict = weighed(arms, at_least=0.65, met=leaked(150))
    assert (verdict.decision, verdict.targets[0].outcome, kinds(verdict)) == ("DON'T SHIP", "missed", ["contamination"])
    said = verdict.warnings[0].text
    assert said.startswith("150 of 300 test rows were trained on (150 word for word, 0 nearly)")
    assert verdict.targets[0].num_rows == 150 and "t.jsonl:1 stands in train.jsonl:7" in said


def test_what_was_not_looked_through_is_a_warning() -> None:
    arms = {"base": arm(0.2, 1), "tuned": arm(1.0, 4)}
    verdict = weighed(arms, met=Contamination(300, 100, unsought=["fold 2", "run:older/1"]))
    assert (verdict.decision, kinds(verdict)) == ("SHIP", ["unsought"])
    assert "not looked for among the rows that fold 2, run:older/1 learned from" in verdict.warnings[0].text


def test_with_too_few_clean_rows_nothing_is_decided() -> None:
    arms = {"base": arm(0.2, 1), "tuned": arm(1.0, 4)}
    enough = weighed(arms, at_least=0.5, met=leaked(300 - FEWEST_CLEAN))
    assert enough.decision == "SHIP"
    verdict = weighed(arms, at_least=0.5, met=leaked(300 - FEWEST_CLEAN + 1))
    assert (verdict.decision, verdict.targets[0].outcome, verdict.exit_code) == ("DON'T SHIP", "undecided", 3)
    assert "too few to decide by" in verdict.reason and verdict.targets[0].more_rows == 1


def test_all_rows_leaked_is_undecided_and_not_a_crash() -> None:
    verdict = weighed({"base": arm(0.2, 1), "tuned": arm(1.0, 4)}, met=leaked(300))
    assert (verdict.decision, kinds(verdict)[0]) == ("DON'T SHIP", "contamination")


def test_lost_abilities_are_a_warning() -> None:
    arms = {"base": arm(0.2, 1), "tuned": arm(0.9, 4)}
    forgot = replace(weighed(arms).targets[0], metric="retention", bound=0.97, outcome="missed", why="0.7 on 200 rows")
    comparison = compare(arms, [METRICS.make("accuracy")], resamples=100)  # type: ignore[list-item]
    again = weigh(Verdict("DON'T SHIP", "", 0.95, 0, [forgot]), comparison)
    assert kinds(again) == ["forgetting"] and "retention at least 0.97" in again.warnings[0].text


def test_warnings_are_written_and_read_back() -> None:
    verdict = weighed({"base": arm(0.90, 1), "tuned": arm(0.91, 4)})
    assert verdict.warnings and Verdict.from_json(verdict.to_json()) == verdict
    older = {**verdict.to_json()}
    del older["warnings"]
    assert Verdict.from_json(older).warnings == []
    assert any("warning: " in line for line in verdict.lines())


# What would change it


def right(share: float) -> dict[str, list[Prediction]]:
    return {
        "tuned": [Prediction(r, r.labels[0] if at < share * 300 else "x", r.labels[0]) for at, r in enumerate(ROWS)]
    }


@pytest.mark.parametrize(("share", "bound"), [(0.95, 0.9), (0.85, 0.9), (0.91, 0.9)])
def test_the_value_it_names_is_where_the_outcome_turns(share: float, bound: float) -> None:
    target = weighed(right(share), at_least=bound).targets[0]
    edge = float(target.change.split("bout ")[1].split()[0])
    above, below = (weighed(right(edge + step), at_least=bound).targets[0].outcome for step in (0.012, -0.012))
    assert (above, below != "met") == ("met", True), target.change


def test_it_names_rows_and_the_slice_that_holds_it_back() -> None:
    target = weighed({"tuned": arm({"email": 0.97, "chat": 0.97, "phone": 0.76}, 4)}, at_least=0.9).targets[0]
    assert target.outcome != "met" and "were channel 'phone' (" in target.change
    assert "as good as the rest, all would reach about 0.9" in target.change
    undecided = weighed(right(0.91), at_least=0.9).targets[0]
    assert f"about {undecided.more_rows:,} more rows would show it met" in undecided.change
    behind = weighed(right(0.89), at_least=0.9).targets[0]
    assert "would show it missed" in behind.change


def test_it_says_so_where_no_value_is_enough() -> None:
    few = {"tuned": right(1.0)["tuned"][:12]}
    left = compare(few, [METRICS.make("accuracy")], resamples=100)  # type: ignore[list-item]
    targets = [Target.model_validate({"metric": "accuracy", "at_least": 0.95})]
    said = weigh(judge(targets, few["tuned"]), left).targets[0].change
    assert said.startswith("No value is enough on 12 rows; about ")
