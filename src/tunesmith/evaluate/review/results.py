"""What a review comes to: agreement, consensus, what raters are worth, and the arms side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.data.methods.votes.agreement import Agreement, krippendorff_alpha, percent_agreement
from tunesmith.data.methods.votes.consensus import Consensus, dawid_skene, majority
from tunesmith.data.methods.votes.quality import annotators
from tunesmith.data.methods.votes.table import Votes
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.comparison import Comparison, finite
from tunesmith.evaluate.review.measured import decided, ratings
from tunesmith.evaluate.review.rubric import SKIP, Choice, Criterion, Likert, Preference
from tunesmith.evaluate.review.stored import Filled
from tunesmith.metrics import Metric
from tunesmith.part import METRICS
from tunesmith.records import Plain, Prediction, Record


@dataclass(frozen=True)
class Figure:
    """A value with its interval; None where there is nothing to measure."""

    value: float | None
    low: float | None
    high: float | None
    items: int
    """Answers it rests on."""


@dataclass(frozen=True)
class CriterionResult:
    """How far raters agree by one criterion."""

    name: str
    kind: str
    question: str
    alpha: Figure
    """Krippendorff's alpha; ordinal for points, nominal for words."""
    agreement: Figure
    """How often two raters of one answer say the same."""
    differing: int
    """Answers whose raters lie further apart than the rubric allows."""
    settled: int
    """Of all, those that an adjudicator decided."""


@dataclass(frozen=True)
class RaterOnCriterion:
    """A rater beside the others, by one criterion."""

    criterion: str
    votes: int
    accuracy: float | None
    """How often the rater says what the consensus of all says."""
    with_others: float | None
    """How often the rater says what most of the others say."""
    severity: float | None
    """Mean difference to the others' mean on the same answers, in points; below 0 is stricter. Of points only."""
    spam: float | None
    """0: what is said follows from the answer; 1: it has nothing to do with it."""


@dataclass(frozen=True)
class RaterResult:
    """How far a rater has come, and what the ratings are worth."""

    name: str
    assigned: int
    done: int
    seconds_per_item: float | None
    """The median of those that are done."""
    criteria: list[RaterOnCriterion]


@dataclass(frozen=True)
class ItemResult:
    """What holds of one item."""

    item: int
    record: str
    values: dict[str, dict[str, float]]
    """Arm -> what metrics read, such as `review.helpful`."""
    labels: dict[str, dict[str, Any]]
    """Question -> `arm`, `label` (the consensus), `confidence`, `votes`, `settled` (who decided it, or None)."""


@dataclass(frozen=True)
class Results(Plain):
    """A review's results."""

    run: str
    number: int
    title: str
    arms: list[str]
    rows: int
    """Test rows the items were drawn from."""
    criteria: list[CriterionResult]
    raters: list[RaterResult]
    comparison: Comparison
    """Every criterion by arm, with intervals from resampling items, and the last arm against the others."""
    items: list[ItemResult]


def results(review: Filled, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0) -> Results:
    """What a review comes to as it stands; it may be unfinished.

    Args:
        review: with its answers.
        confidence: of the intervals.
        resamples: bootstrap samples behind each interval of the arms' figures.
        seed: draws them.
    """
    criteria = review.review.rubric.criteria
    votes = {criterion.name: _votes(review, criterion) for criterion in criteria}
    consensus = {name: _consensus(found) for name, (_, found) in votes.items()}
    return Results(
        run=review.review.run,
        number=review.review.number,
        title=review.review.rubric.title,
        arms=list(review.review.plan["arms"]),
        rows=review.review.plan["rows"],
        criteria=[_criterion(review, one, votes[one.name][1], confidence, seed) for one in criteria],
        raters=_raters(review, criteria, votes, consensus),
        comparison=side_by_side(review, confidence=confidence, resamples=resamples, seed=seed),
        items=_items(review, votes, consensus),
    )


Key = tuple[int, str]
"""An item's number and a question."""


def _votes(review: Filled, criterion: Criterion) -> tuple[list[Key], Votes]:
    """Everything said by one criterion, whichever answer it is about."""
    asked = {key for key, question in review.review.questions.items() if question.criterion.name == criterion.name}
    said = {key: votes for key, votes in review.said.items() if key[1] in asked}
    return list(said), Votes.of(said.values(), criterion.values())


def _consensus(votes: Votes) -> Consensus:
    """By how reliable raters are, where there are enough of them to tell; else by majority."""
    return (
        dawid_skene(votes)
        if len(votes.annotators) > 2 and votes.counts_PC.sum(1).max(initial=0) > 2
        else majority(votes)
    )


def _criterion(review: Filled, criterion: Criterion, votes: Votes, confidence: float, seed: int) -> CriterionResult:
    order = criterion.values() if criterion.level == "ordinal" else None
    mine = {key for key, question in review.review.questions.items() if question.criterion.name == criterion.name}
    return CriterionResult(
        criterion.name,
        criterion.kind,
        criterion.question,
        _figure(krippendorff_alpha(votes, criterion.level, order=order, confidence=confidence, seed=seed)),
        _figure(percent_agreement(votes, confidence=confidence, seed=seed)),
        sum(key[1] in mine for key in review.differing()),
        sum(key[1] in mine for key in review.settled),
    )


def _figure(found: Agreement) -> Figure:
    return Figure(finite(found.value), finite(found.low), finite(found.high), found.items)


def _raters(
    review: Filled,
    criteria: Sequence[Criterion],
    votes: Mapping[str, tuple[list[Key], Votes]],
    consensus: Mapping[str, Consensus],
) -> list[RaterResult]:
    quality = {name: {row.name: row for row in annotators(votes[name][1], consensus[name])} for name in votes}
    found = []
    for rater in review.raters:
        answers = [answer for answer in review.answers if answer.person == rater.number]
        done = [answer for answer in answers if set(review.review.questions) <= set(answer.marks)]
        times = sorted(answer.seconds for answer in done if answer.seconds > 0)
        beside = []
        for criterion in criteria:
            row = quality[criterion.name].get(rater.name)
            if row is not None:
                severity = _severity(review, criterion, rater.name)
                several = len(votes[criterion.name][1].annotators) > 1
                spam = finite(row.spam) if several else None
                own = finite(row.accuracy) if several else None
                beside.append(RaterOnCriterion(criterion.name, row.votes, own, row.with_others, severity, spam))
        middle = times[len(times) // 2] if times else None
        found.append(RaterResult(rater.name, len(review.assigned[rater.number]), len(done), middle, beside))
    return found


def _severity(review: Filled, criterion: Criterion, rater: str) -> float | None:
    if not isinstance(criterion, Likert):
        return None
    apart = []
    for (_, key), votes in review.said.items():
        if review.review.questions[key].criterion.name == criterion.name and rater in votes and len(votes) > 1:
            others = [float(value) for name, value in votes.items() if name != rater]
            apart.append(float(votes[rater]) - sum(others) / len(others))
    return sum(apart) / len(apart) if apart else None


def _items(
    review: Filled, votes: Mapping[str, tuple[list[Key], Votes]], consensus: Mapping[str, Consensus]
) -> list[ItemResult]:
    labels: dict[int, dict[str, dict[str, Any]]] = {}
    for name, (keys, found) in votes.items():
        held = consensus[name]
        for key, pattern in zip(keys, found.pattern_N, strict=True):
            label, sure = found.labels[held.label_P[pattern]], float(held.confidence_P[pattern])
            labels.setdefault(key[0], {})[key[1]] = _label(review, key, label, min(sure, 1.0))
    for key in review.settled.keys() - review.said.keys():
        labels.setdefault(key[0], {})[key[1]] = _label(review, key, SKIP, 1.0)
    arms = review.review.plan["arms"]
    return [
        ItemResult(
            item.number,
            item.hidden["record"],
            {arm: ratings(review, item, arm) for arm in arms},
            labels[item.number],
        )
        for item in review.items.values()
        if item.number in labels
    ]


def _label(review: Filled, key: Key, label: str, confidence: float) -> dict[str, Any]:
    letters = review.items[key[0]].hidden["arms"]
    output, settled = review.review.questions[key[1]].output, review.settled.get(key)
    label = settled.value if settled else label
    return {
        "arm": letters[output] if output else None,
        "label": letters.get(label, label) if output is None else label,
        "confidence": 1.0 if settled else confidence,
        "votes": len(review.said.get(key, {})),
        "settled": settled.by if settled else None,
    }


def side_by_side(review: Filled, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0) -> Comparison:
    """The arms by every criterion, on the items that somebody rated.

    Args:
        review: with its answers.
        confidence, resamples, seed: of the intervals.
    """
    arms = list(review.review.plan["arms"])
    items = [
        item
        for item in review.items.values()
        if any(decided(review, item.number, key) for key in review.review.questions)
    ]
    measured = {
        arm: [
            Prediction(
                Record(item.hidden["record"], f"item {item.number}", text="", slices=item.hidden["slices"]),
                output="",
                expected="",
                measured=ratings(review, item, arm),
            )
            for item in items
        ]
        for arm in arms
    }
    found = [METRICS.make({"kind": kind, "criterion": name}) for kind, name in _metrics(review.review.rubric.criteria)]
    metrics = [metric for metric in found if isinstance(metric, Metric)]
    return compare(measured, metrics, confidence=confidence, resamples=resamples, seed=seed)


def _metrics(criteria: Sequence[Criterion]) -> list[tuple[str, str]]:
    found = []
    for criterion in criteria:
        kind = "win_rate" if isinstance(criterion, Preference) else "rating"
        names = (
            [f"{criterion.name}={option}" for option in criterion.options]
            if isinstance(criterion, Choice)
            else [criterion.name]
        )
        found += [(kind, name) for name in names]
    return found
