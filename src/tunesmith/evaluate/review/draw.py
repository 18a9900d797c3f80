"""Lays a review out: which rows, which answer is called A, who rates what and in which order. All of it by one seed."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith.errors import UserError
from tunesmith.evaluate.review.rubric import Rubric
from tunesmith.evaluate.review.sample import sample
from tunesmith.records import Prediction

LETTERS = "ABCD"
_NAME = re.compile(r"\w[\w .@-]{0,59}(?<! )")
"""Names of people are names of files too."""


@dataclass(frozen=True)
class Item:
    """One row to rate."""

    number: int
    shown: dict[str, Any]
    """What raters see: `prompt` (turns), `outputs` (letter -> text), `reference` (text, or None)."""
    hidden: dict[str, Any]
    """What they must not: `record` (id), `arms` (letter -> arm), `slices`."""


@dataclass(frozen=True)
class Layout:
    """Items, and who rates which."""

    items: list[Item]
    places: dict[str, list[int]] = field(default_factory=dict)
    """Rater -> the numbers of items, in the order they come."""


def lay_out(
    arms: Mapping[str, Sequence[Prediction]],
    rubric: Rubric,
    raters: Sequence[str],
    *,
    items: int = 100,
    shared: float = 0.3,
    each: int = 1,
    seed: int = 0,
) -> Layout:
    """Draws rows and deals them out.

    Args:
        arms: arm -> its predictions, of the same rows in the same order.
        rubric: what will be asked.
        raters: their names.
        items: how many rows; all of them when there are no more.
        shared: the share of rows that every rater gets, which agreement is told from.
        each: how many raters each of the other rows gets.
        seed: draws, shuffles and deals.

    Raises:
        UserError: the arms do not fit each other or the rubric, or the raters do not fit.
    """
    _check(arms, rubric, raters, each)
    chosen = sample(arms[list(arms)[-1]], items, seed)
    shuffle = random.Random(seed)
    made = [_item(number, row, arms, rubric, shuffle) for number, row in enumerate(chosen, 1)]
    return Layout(made, _deal([item.number for item in made], raters, shared, each, shuffle))


def _check(arms: Mapping[str, Sequence[Prediction]], rubric: Rubric, raters: Sequence[str], each: int) -> None:
    ids = [[prediction.record.id for prediction in predictions] for predictions in arms.values()]
    if not ids or not ids[0]:
        raise UserError("there are no test rows to rate", fix="evaluate the run first: tunesmith evaluate SPEC")
    if any(other != ids[0] for other in ids):
        raise UserError(f"the arms {', '.join(arms)} answered different rows", fix="evaluate the run again")
    if len(arms) > len(LETTERS):
        raise UserError(f"{len(arms)} arms are too many to rate side by side", fix="name at most 4 with --arms")
    if rubric.compares and len(arms) != 2:
        raise UserError(
            f"a preference is asked of two arms, and {len(arms)} are named: {', '.join(arms)}",
            where="--arms",
            fix="name two, such as --arms base,tuned, or take the criterion out",
        )
    check_names(raters)
    if each > len(raters):
        raise UserError(
            f"each row is to be rated by {each} people, and there are {len(raters)}", where="--each", fix="add raters"
        )


def check_names(raters: Sequence[str]) -> None:
    """Refuses what is no name, and names that are given twice.

    Raises:
        UserError: says which.
    """
    if not raters or len(set(raters)) < len(raters):
        raise UserError("raters need names that differ", where="--raters", fix="write such as --raters anna,ben")
    for name in raters:
        if not _NAME.fullmatch(name):
            raise UserError(
                f"{name[:80]!r} is no name for a rater",
                where="--raters",
                fix="use up to 60 letters, digits, blanks, dots, dashes, @ and underscores, a letter or digit first",
            )


def _item(
    number: int, row: int, arms: Mapping[str, Sequence[Prediction]], rubric: Rubric, shuffle: random.Random
) -> Item:
    names = list(arms)
    shuffle.shuffle(names)
    letters = dict(zip(LETTERS, names, strict=False))
    asked = arms[names[0]][row]
    record = asked.record
    turns = record.prompt if record.messages else ()
    prompt = [{"role": turn.role, "content": as_shown(turn.content)} for turn in turns]
    if not prompt:
        prompt = [{"role": "user", "content": as_shown(record.text or "")}]
    return Item(
        number,
        shown={
            "prompt": prompt,
            "outputs": {letter: as_shown(arms[arm][row].output) for letter, arm in letters.items()},
            "reference": as_shown(asked.expected) if rubric.reference else None,
        },
        hidden={"record": record.id, "arms": letters, "slices": dict(record.slices)},
    )


def as_shown(text: str) -> str:
    """Text that every browser, file and database can hold: halves of characters become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _deal(
    numbers: Sequence[int], raters: Sequence[str], shared: float, each: int, shuffle: random.Random
) -> dict[str, list[int]]:
    order = list(numbers)
    shuffle.shuffle(order)
    common = order[: round(shared * len(order))]
    places = {rater: list(common) for rater in raters}
    seats = list(raters)
    shuffle.shuffle(seats)
    for turn, number in enumerate(order[len(common) :]):
        for place in range(each):
            places[seats[(turn * each + place) % len(seats)]].append(number)
    for dealt in places.values():
        shuffle.shuffle(dealt)
    return places
