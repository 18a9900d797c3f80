"""Targets that no training could meet are refused before any is done."""

from __future__ import annotations

import pytest

from tunesmith.errors import SpecError
from tunesmith.evaluate.predict import Manner
from tunesmith.evaluate.verdict.targets import check_targets
from tunesmith.spec.sections import Target


def problems(
    *written: dict[str, object],
    manner: Manner = "choose",
    task: str | None = "classify",
    columns: tuple[str, ...] = ("channel", "region"),
    labels: tuple[str, ...] | None = ("spam", "ham"),
) -> list[str]:
    try:
        check_targets(
            [Target.model_validate(target) for target in written],
            manner=manner,
            task=task,
            columns=columns,
            labels=labels,
            arms=("base", "linear"),
            where=lambda path: f"triage.yaml:7 {path}",
        )
    except SpecError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_targets_that_can_be_met_pass() -> None:
    good: list[dict[str, object]] = [
        {"metric": "accuracy", "at_least": 0.9},
        {"metric": "f1_macro", "at_least": "85%", "slice": {"channel": "email"}},
        {"metric": {"kind": "recall", "label": "spam"}, "at_least": 0.9},
        {"metric": "latency_p95", "at_most": "300 ms"},
        {"metric": "perplexity", "at_most": 12},
    ]
    assert problems(*good) == []
    assert problems() == []


@pytest.mark.parametrize(
    ("metric", "manner", "task", "says"),
    [
        ("rougeL", "choose", "classify", "rougeL needs written answers"),
        ("accuracy", "generate", "summarize", "accuracy needs labels"),
        ("entity_f1", "classify", "classify", "entity_f1 needs tagged spans"),
        ("perplexity", "tag", "extract", "perplexity needs likelihoods of tokens"),
    ],
)
def test_a_metric_that_cannot_be_measured(metric: str, manner: Manner, task: str, says: str) -> None:
    bound = 2 if metric == "perplexity" else 0.5
    (problem,) = problems({"metric": metric, "at_most": bound}, manner=manner, task=task)
    assert problem.startswith(f"triage.yaml:7 goal.targets.0.metric: {says}")
    assert "use one of: " in problem


def test_the_alternatives_named_can_be_measured() -> None:
    (problem,) = problems({"metric": "accuracy", "at_least": 0.5}, manner="generate", task="summarize")
    named = problem.partition("use one of: ")[2].split(", ")
    assert {"rougeL", "bleu", "token_f1", "perplexity"} <= set(named)
    assert not {"accuracy", "f1_macro", "entity_f1"} & set(named)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({"metric": "latency_p95", "at_most": 300}, "latency_p95 is measured in ms, for example `300 ms`; 300 is not"),
        ({"metric": "accuracy", "at_least": "300 ms"}, "accuracy is measured without a unit; 300 ms is not"),
        ({"metric": "accuracy", "at_least": 90}, "accuracy runs from 0 to 1; 90 is outside; write 0.9 or 90%"),
        ({"metric": "perplexity", "at_most": 0.5}, "perplexity runs from 1 to inf; 0.5 is outside"),
        ({"metric": "accuracy", "at_least": 1}, "accuracy runs from 0 to 1, and no number of test rows can show"),
    ],
)
def test_a_bound_that_cannot_be_meant(target: dict[str, object], says: str) -> None:
    (problem,) = problems(target)
    field = "at_least" if "at_least" in target else "at_most"
    assert problem.startswith(f"triage.yaml:7 goal.targets.0.{field}: {says}")


def test_a_share_of_a_hundred_is_asked_back() -> None:
    (problem,) = problems({"metric": "bleu", "at_least": "30%"}, manner="generate", task="translate")
    assert "bleu runs from 0 to 100; did you mean 30?" in problem
    assert problems({"metric": "bleu", "at_least": 30}, manner="generate", task="translate") == []


def test_an_unknown_column() -> None:
    (problem,) = problems({"metric": "accuracy", "at_least": 0.9, "slice": {"chanel": "email"}})
    assert "goal.targets.0.slice.chanel: no column 'chanel' (did you mean 'channel'?)" in problem
    assert "there are channel, region" in problem
    (problem,) = problems({"metric": "accuracy", "at_least": 0.9, "slice": {"channel": "email"}}, columns=())
    assert "none to slice by" in problem


def test_an_unknown_label() -> None:
    spammy: dict[str, object] = {"metric": {"kind": "f1", "label": "spamm"}, "at_least": 0.9}
    (problem,) = problems(spammy)
    assert "no label 'spamm' in the data (did you mean 'spam'?)" in problem
    assert problems(spammy, labels=None) == []


def test_all_problems_come_at_once() -> None:
    found = problems({"metric": "rougeL", "at_least": 30, "slice": {"x": "y"}}, {"metric": "latency_p50", "at_most": 1})
    assert [problem.split()[1] for problem in found] == [
        "goal.targets.0.metric:",
        "goal.targets.0.at_least:",
        "goal.targets.0.slice.x:",
        "goal.targets.1.at_most:",
    ]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"metric": "accuracy", "over": "lienar", "at_least": 0.1}, "no arm 'lienar' in evaluate.arms (did you mean"),
        ({"metric": "accuracy", "over": "linear", "at_least": 5}, "accuracy differs by 1 at most; 5 is more"),
        ({"metric": "accuracy", "over": "linear", "at_least": 0.02}, None),
        ({"metric": "accuracy", "over": "linear", "at_least": -0.02}, None),
        ({"metric": "accuracy", "over": "linear", "at_least": 0}, None),
    ],
)
def test_an_arm_to_be_ahead_of_must_be_there(written: dict[str, object], says: str | None) -> None:
    found = problems(written)
    assert found == [] if says is None else says in found[0]
