"""What people said, attached to the predictions they said it of: what the metrics `rating` and `win_rate` read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tunesmith.evaluate.review.draw import Item, as_shown
from tunesmith.evaluate.review.rubric import SKIP, TIE, Choice, Question
from tunesmith.evaluate.review.stored import Filled
from tunesmith.records import Prediction


def rated(predictions: Sequence[Prediction], review: Filled, arm: str = "tuned") -> list[Prediction]:
    """The predictions that were rated, with the ratings in `measured`; not those that say something else by now.

    `review.CRITERION` is the mean of the raters' values or what an adjudicator decided, with `.lowest` and `.highest`
    for the ends of its scale; `review.CRITERION=OPTION` the share that chose an option; of a preference, 1 where
    the arm's answer was preferred, 0 where the other's was, and 0.5 where both were equal.

    Args:
        predictions: of the arm, on the test rows.
        review: with its answers.
        arm: whose answers these are.
    """
    by_record = _by_record(review)
    found = []
    for prediction in predictions:
        item = by_record.get(prediction.record.id)
        measured = ratings(review, item, arm) if item and _as_rated(item, prediction, arm) else {}
        if measured:
            found.append(replace(prediction, measured={**prediction.measured, **measured}))
    return found


def outdated(review: Filled, predictions: Sequence[Prediction], arm: str = "tuned") -> list[int]:
    """The numbers of items whose answer is another by now than the one that people saw.

    Args:
        review: with its items.
        predictions: of the arm, as it answers now.
        arm: whose answers these are.
    """
    by_record = _by_record(review)
    pairs = [(by_record.get(row.record.id), row) for row in predictions]
    return [item.number for item, row in pairs if item and not _as_rated(item, row, arm)]


def _by_record(review: Filled) -> dict[str, Item]:
    return {item.hidden["record"]: item for item in review.items.values()}


def _as_rated(item: Item, prediction: Prediction, arm: str) -> bool:
    shown = [item.shown["outputs"][letter] for letter, name in item.hidden["arms"].items() if name == arm]
    return not shown or shown[0] == as_shown(prediction.output)


def ratings(review: Filled, item: Item, arm: str) -> dict[str, float]:
    """What an item's raters come to about one arm's answer, by the names that metrics read."""
    letters = {name: letter for letter, name in item.hidden["arms"].items()}
    found: dict[str, float] = {}
    for key, question in review.review.questions.items():
        values = decided(review, item.number, key)
        if not values or arm not in letters or question.output not in (None, letters[arm]):
            continue
        found |= _numbers(question, values, letters[arm])
    return found


def decided(review: Filled, item: int, question: str) -> list[str]:
    """The values that count: the adjudicator's alone where there is one, else every rater's."""
    settled = review.settled.get((item, question))
    if settled is not None:
        return [] if settled.value == SKIP else [settled.value]
    return list(review.said.get((item, question), {}).values())


def _numbers(question: Question, values: Sequence[str], letter: str) -> dict[str, float]:
    name, criterion = f"review.{question.criterion.name}", question.criterion
    if isinstance(criterion, Choice):
        found: dict[str, float] = {}
        for option in criterion.options:
            share = sum(value == option for value in values) / len(values)
            found |= _on_scale(f"{name}={option}", share, 0.0, 1.0)
        return found
    if question.output is None:
        won = [0.5 if value == TIE else float(value == letter) for value in values]
        return _on_scale(name, sum(won) / len(won), 0.0, 1.0)
    ends = [float(criterion.number(value) or 0.0) for value in criterion.values()]
    numbers = [criterion.number(value) or 0.0 for value in values]
    return _on_scale(name, sum(numbers) / len(numbers), min(ends), max(ends))


def _on_scale(name: str, value: float, lowest: float, highest: float) -> dict[str, float]:
    return {name: value, f"{name}.lowest": lowest, f"{name}.highest": highest}
