"""What a rater's page calls: the rubric, the items, and the answers as they are given."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator

from tunesmith.errors import NotFound
from tunesmith.evaluate.review import stored
from tunesmith.evaluate.review.stored import LONGEST_NOTE, Answer, Person, Review
from tunesmith.store.open import Store

Key = Annotated[str, Field(max_length=120)]
Value = Annotated[str, Field(max_length=200)]
Item = Annotated[int, Field(ge=0, le=1_000_000_000)]
Note = Annotated[str, Field(max_length=LONGEST_NOTE)]


class Given(BaseModel):
    """An answer as the page sends it: everything that holds of the item, not what changed."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    marks: dict[Key, Value] = Field(max_length=64)
    note: Note
    seconds: float = Field(ge=0, le=1e7)
    revision: int = Field(ge=1, le=1_000_000_000)

    @field_validator("note")
    @classmethod
    def _storable(cls, note: str) -> str:
        return note.replace("\0", "")  # which PostgreSQL cannot hold


def questions(review: Review) -> list[dict[str, Any]]:
    """What is asked of every item, for a page."""
    return [
        {
            "key": question.key,
            "output": question.output,
            "question": question.criterion.question,
            "help": question.criterion.help,
            "kind": question.criterion.kind,
            "values": question.criterion.values(),
            "words": question.criterion.words(),
        }
        for question in review.questions.values()
    ]


def router(store: Store, review: Review) -> APIRouter:
    """The calls, under `/api/rate`."""
    calls = APIRouter(prefix="/api/rate")

    @calls.get("/review")
    def whole(request: Request) -> dict[str, Any]:
        person: Person = request.state.person
        order, said = stored.items_of(store, review, person)
        return {
            "rater": person.name,
            "title": review.rubric.title,
            "instructions": review.rubric.instructions,
            "questions": questions(review),
            "items": [_answer(said.get(item) or Answer(item, person.number, {}, "", 0.0, 0)) for item in order],
        }

    @calls.get("/items/{item}")
    def one(item: Item, request: Request) -> dict[str, Any]:
        shown = stored.shown(store, review, item, request.state.person)
        if shown is None:
            raise NotFound(f"item {item} is not among yours", fix="go on with those that are")
        return shown

    @calls.put("/items/{item}")
    def save(item: Item, given: Given, request: Request) -> JSONResponse:
        person: Person = request.state.person
        answer = Answer(item, person.number, given.marks, given.note, given.seconds, given.revision)
        saved, kept = stored.save(store, review, answer)
        return JSONResponse(_answer(kept), status_code=200 if saved else 409)

    return calls


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "item": answer.item,
        "marks": answer.marks,
        "note": answer.note,
        "seconds": answer.seconds,
        "revision": answer.revision,
    }
