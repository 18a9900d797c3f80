"""Looks at what is asked about groups before anything is trained for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, cast

from tunesmith.errors import Problem, SpecError, did_you_mean
from tunesmith.metrics import Mean, Metric

if TYPE_CHECKING:
    from tunesmith.spec.rooms.fairness import Fairness
    from tunesmith.spec.sections import Target


def check_fairness(
    fairness: Fairness | None,
    targets: Collection[Target],
    *,
    labels: Collection[str],
    writes: bool,
    where: Callable[[str], str] = str,
) -> None:
    """Refuses questions about groups that no answer can be found to.

    Args:
        fairness: the section `evaluate.fairness`.
        targets: of the goal.
        labels: of the data; empty where answers are words.
        writes: whether the tuned model has a language head.
        where: turns a dotted path into a place for people.

    Raises:
        SpecError: with every problem.
    """
    found = [*_of_targets(fairness, targets)]
    if fairness is not None:
        found += _of_section(fairness, labels, writes=writes)
    if found:
        raise SpecError([Problem(where(path), what) for path, what in found])


def _of_targets(fairness: Fairness | None, targets: Collection[Target]) -> Iterator[tuple[str, str]]:
    for number, target in enumerate(targets):
        metric = cast(Metric, target.metric)
        path = f"goal.targets.{number}.metric"
        pairs = fairness is not None and fairness.terms and fairness.counterfactuals
        if metric.rows == "counterfactual" and not pairs:
            yield path, f"{metric.kind} needs pairs of rows; write which, `evaluate: {{fairness: {{terms: [gender]}}}}`"
        if metric.rows == "stereotypes" and not (fairness and fairness.suites):
            yield path, f"{metric.kind} needs a suite; name its files in `evaluate.fairness.suites`"


def _of_section(fairness: Fairness, labels: Collection[str], *, writes: bool) -> Iterator[tuple[str, str]]:
    favourable = fairness.favourable
    if favourable is not None and favourable not in labels:
        hint = did_you_mean(favourable, labels) if labels else "; the answers are words, leave it out"
        yield "evaluate.fairness.favourable", f"no label {favourable!r} in the data{hint}"
    for number, metric in enumerate(fairness.answers):
        path = f"evaluate.fairness.answers.{number}"
        if not (isinstance(metric, Mean) and metric.needs <= {"text"}):
            yield path, f"{metric.kind} does not score each answer by itself; name `toxicity`, `sentiment` or another"
        elif labels:
            yield path, "the answers are labels, whose changes are counted as they are; leave it out"
    if fairness.suites and not writes:
        yield (
            "evaluate.fairness.suites",
            "suites ask how likely sentences are, and the tuned model's head gives labels; leave them out, or learn by"
            " sft",
        )
