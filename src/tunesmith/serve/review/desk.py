"""What the desk calls: how far raters are, how far they agree, what to settle, the results, and files of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict

from tunesmith.errors import NotFound
from tunesmith.evaluate.review import stored
from tunesmith.evaluate.review.pairs import pairs
from tunesmith.evaluate.review.results import results
from tunesmith.evaluate.review.rubric import Likert
from tunesmith.evaluate.review.stored import Filled, Review
from tunesmith.serve.review.rate import Item, Key, Note, Value, questions
from tunesmith.store.open import Store

RESAMPLES = 400
"""Bootstrap samples behind the intervals of a page that is asked for every few seconds."""


class Decision(BaseModel):
    """What an adjudicator decides; no value takes a decision back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    value: Value | None
    note: Note = ""


def router(store: Store, review: Review) -> APIRouter:
    """The calls, under `/api/desk`."""
    calls = APIRouter(prefix="/api/desk")

    @calls.get("/review")
    def whole() -> dict[str, Any]:
        found = stored.filled(store, review)
        said = results(found, resamples=RESAMPLES).to_json()
        said.pop("items")
        return {
            **said,
            "questions": questions(review),
            "comparison": {"measures": said["comparison"]["measures"]},
            "items": len(found.items),
            "ends": _ends(review),
            "differing": _differing(found),
        }

    @calls.get("/items/{item}")
    def one(item: Item, request: Request) -> dict[str, Any]:
        shown = stored.shown(store, review, item, request.state.person)
        if shown is None:
            raise NotFound(f"no item {item}", fix="name one that is there")
        return shown

    @calls.put("/settled/{item}/{question}")
    def settle(item: Item, question: Key, decision: Decision, request: Request) -> dict[str, Any]:
        note = decision.note.replace("\0", "")
        stored.settle(store, review, request.state.person, item, question, decision.value, note)
        return {"item": item, "question": question, "value": decision.value}

    @calls.get("/files/{kind}", response_class=PlainTextResponse)
    def file(kind: Literal["ratings", "results", "pairs"]) -> str:
        return _FILES[kind](stored.filled(store, review))

    return calls


def _ends(review: Review) -> dict[str, tuple[float, float]]:
    """Metric -> the ends of its scale, for those that are not shares."""
    points = {one.name: one.points for one in review.rubric.criteria if isinstance(one, Likert)}
    return {f"rating(criterion={name})": (1.0, float(most)) for name, most in points.items()}


def _differing(found: Filled) -> list[dict[str, Any]]:
    """What raters differ in, blind: what was said, with its notes, but not by whom."""
    notes = {(answer.item, answer.person): answer.note for answer in found.answers}
    numbers = {person.name: person.number for person in found.people}
    listed = []
    for item, question in found.differing():
        votes = sorted(
            (value, notes.get((item, numbers[name]), "")) for name, value in found.said[item, question].items()
        )
        settled = found.settled.get((item, question))
        listed.append(
            {
                "item": item,
                "question": question,
                "votes": [{"value": value, "note": note} for value, note in votes],
                "settled": settled and {"value": settled.value, "note": settled.note, "by": settled.by},
            }
        )
    return listed


def _ratings(found: Filled) -> str:
    """Every rating as a row of CSV, with the arm it is of."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(["item", "record", "rater", "question", "arm", "value", "note", "adjudicated"])
    names = {person.number: person.name for person in found.people}

    def row(item: int, who: str, key: str, value: str, note: str, adjudicated: bool) -> None:
        hidden, output = found.items[item].hidden, found.review.questions[key].output
        letters = hidden["arms"]
        arm = letters[output] if output else ""
        said = value if output else letters.get(value, value)
        cells = (str(item), hidden["record"], who, key, arm, said, note, "yes" if adjudicated else "")
        lines.writerow([f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell for cell in cells])

    for answer in found.answers:
        for key, value in answer.marks.items():
            row(answer.item, names[answer.person], key, value, answer.note, False)
    for (item, key), settled in found.settled.items():
        row(item, settled.by, key, settled.value, settled.note, True)
    return text.getvalue()


_FILES: dict[str, Callable[[Filled], str]] = {
    "ratings": _ratings,
    "results": lambda found: json.dumps(results(found).to_json(), indent=2, ensure_ascii=False),
    "pairs": lambda found: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in pairs(found)),
}
