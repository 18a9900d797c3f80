"""A review in the store: made once, filled by raters, settled by an adjudicator.

Every answer carries a revision that its rater's page counts up. An answer takes the place of an older one only, so
one that is sent twice, or late, changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.errors import NotFound, UserError
from tunesmith.evaluate.review.draw import Item, Layout
from tunesmith.evaluate.review.rubric import SKIP, Question, Rubric
from tunesmith.store.open import Store

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

Role = Literal["rater", "adjudicator"]

LONGEST_NOTE = 4000
MOST_SECONDS = 3600.0
"""The most time that counts for one item; whoever took longer had gone away."""


@dataclass(frozen=True)
class Person:
    """Somebody with a link."""

    number: int
    name: str
    role: Role


@dataclass(frozen=True)
class Answer:
    """What a rater said of an item so far."""

    item: int
    person: int
    marks: dict[str, str]
    """Question -> value."""
    note: str
    seconds: float
    """How long the item was looked at."""
    revision: int


@dataclass(frozen=True)
class Settled:
    """What an adjudicator decided."""

    item: int
    question: str
    value: str
    note: str
    by: str
    at: float


@dataclass(frozen=True)
class Review:
    """A review as it stands in the store."""

    id: int
    run: str
    number: int
    rubric: Rubric
    plan: dict[str, Any]
    """How it was drawn: arms, rows, shared, each, seed; and the salt that its tokens are made with."""

    def __str__(self) -> str:
        return f"review {self.number} of {self.run}"

    @cached_property
    def questions(self) -> dict[str, Question]:
        """Everything asked of an item, by key."""
        letters = [chr(ord("A") + place) for place in range(len(self.plan["arms"]))]
        return {question.key: question for question in self.rubric.questions(letters)}


@dataclass(frozen=True)
class Filled:
    """A review with everything said in it so far."""

    review: Review
    people: list[Person]
    items: dict[int, Item]
    assigned: dict[int, list[int]]
    """Person -> items, in order."""
    answers: list[Answer]
    settled: dict[tuple[int, str], Settled]
    """(item, question) -> decision."""

    @property
    def raters(self) -> list[Person]:
        return [person for person in self.people if person.role == "rater"]

    @cached_property
    def said(self) -> dict[tuple[int, str], dict[str, str]]:
        """(item, question) -> rater -> value, those left out who said nothing or could not tell."""
        names = {person.number: person.name for person in self.people}
        found: dict[tuple[int, str], dict[str, str]] = {}
        for answer in self.answers:
            for question, value in answer.marks.items():
                if value != SKIP:
                    found.setdefault((answer.item, question), {})[names[answer.person]] = value
        return dict(sorted(found.items()))

    def differing(self) -> list[tuple[int, str]]:
        """The (item, question) whose raters lie further apart than the rubric allows, settled or not."""
        questions = self.review.questions
        return [key for key, votes in self.said.items() if questions[key[1]].criterion.differ(list(votes.values()))]


def create(
    store: Store,
    run: str,
    rubric: Rubric,
    plan: Mapping[str, Any],
    layout: Layout,
    people: Sequence[tuple[Person, str]],
) -> Review:
    """Puts a new review into the store, as the run's next one.

    Args:
        people: each with the hash of their token.
    """
    from tunesmith.store.tables import review_assignments, review_items, review_people, reviews

    numbers = {person.name: person.number for person, _ in people}

    def work(connection: Connection) -> Review:
        number = _latest(connection, run) + 1
        values = {"run": run, "number": number, "rubric": rubric.model_dump(mode="json"), "plan": dict(plan)}
        made = connection.execute(reviews.insert().values(**values, created_at=time.time())).inserted_primary_key
        assert made is not None, "an insert of one row tells its key"
        mine = {"review": made[0]}
        for table, rows in (
            (
                review_people,
                [
                    {"person": person.number, "name": person.name, "role": person.role, "token_hash": hash_}
                    for person, hash_ in people
                ],
            ),
            (
                review_items,
                [{"item": item.number, "shown": item.shown, "hidden": item.hidden} for item in layout.items],
            ),
            (
                review_assignments,
                [
                    {"item": item, "person": numbers[name], "place": place}
                    for name, items in layout.places.items()
                    for place, item in enumerate(items, 1)
                ],
            ),
        ):
            connection.execute(table.insert(), [{**mine, **row} for row in rows])
        return Review(made[0], run, number, rubric, dict(plan))

    return store.write(work)


def _latest(connection: Connection, run: str) -> int:
    from sqlalchemy import func, select

    from tunesmith.store.tables import reviews

    return connection.execute(select(func.max(reviews.c.number)).where(reviews.c.run == run)).scalar() or 0


def find(store: Store, run: str, number: int | None = None) -> Review:
    """A run's review: the one of that number, or its latest.

    Raises:
        NotFound: there is none.
    """
    found = [review for review in reviews_of(store, run) if number in (None, review.number)]
    if not found:
        which = f"no review {number} of {run}" if number else f"no review of {run} yet"
        raise NotFound(which, where=store.where, fix=f"draw one: tunesmith review new {run}")
    return found[-1]


def reviews_of(store: Store, run: str) -> list[Review]:
    """All reviews of a run, the first first."""
    from sqlalchemy import select

    from tunesmith.store.tables import reviews

    with store.read() as connection:
        rows = connection.execute(select(reviews).where(reviews.c.run == run).order_by(reviews.c.number)).all()
    return [_review(row) for row in rows]


def _review(row: Any) -> Review:
    return Review(row.id, row.run, row.number, Rubric.model_validate(row.rubric), row.plan)


def filled(store: Store, review: Review) -> Filled:
    """Everything that is known of a review, as of one moment."""
    from tunesmith.store.tables import review_answers, review_assignments, review_items, review_people, review_settled

    with store.read() as connection:
        people = [Person(row.person, row.name, row.role) for row in _rows(connection, review_people, review, "person")]
        items = {
            row.item: Item(row.item, row.shown, row.hidden) for row in _rows(connection, review_items, review, "item")
        }
        assigned: dict[int, list[int]] = {person.number: [] for person in people}
        for row in _rows(connection, review_assignments, review, "place"):
            assigned[row.person].append(row.item)
        answers = [_answer(row) for row in _rows(connection, review_answers, review, "item", "person")]
        names = {person.number: person.name for person in people}
        settled = {
            (row.item, row.question): Settled(
                row.item, row.question, row.value, row.note, names[row.person], row.settled_at
            )
            for row in _rows(connection, review_settled, review, "item", "question")
        }
    return Filled(review, people, items, assigned, answers, settled)


def _rows(connection: Connection, table: Table, review: Review, *order: str) -> Sequence[Any]:
    from sqlalchemy import select

    return connection.execute(
        select(table).where(table.c.review == review.id).order_by(*(table.c[name] for name in order))
    ).all()


def _answer(row: Any) -> Answer:
    return Answer(row.item, row.person, row.marks, row.note, row.seconds, row.revision)


def items_of(store: Store, review: Review, person: Person) -> tuple[list[int], dict[int, Answer]]:
    """A rater's items in order, and what the rater has said of them."""
    from sqlalchemy import select

    from tunesmith.store.tables import review_answers as answers
    from tunesmith.store.tables import review_assignments as assigned

    def mine(table: Table) -> Any:
        return select(table).where(table.c.review == review.id, table.c.person == person.number)

    with store.read() as connection:
        order = [row.item for row in connection.execute(mine(assigned).order_by(assigned.c.place))]
        said = {row.item: _answer(row) for row in connection.execute(mine(answers))}
    return order, said


def shown(store: Store, review: Review, item: int, person: Person) -> dict[str, Any] | None:
    """What a rater sees of an item; None where it is not the rater's. An adjudicator sees every item."""
    from sqlalchemy import select

    from tunesmith.store.tables import review_assignments as assigned
    from tunesmith.store.tables import review_items as items

    wanted = select(items.c.shown).where(items.c.review == review.id, items.c.item == item)
    if person.role == "rater":
        wanted = wanted.join(assigned, (assigned.c.review == items.c.review) & (assigned.c.item == items.c.item)).where(
            assigned.c.person == person.number
        )
    with store.read() as connection:
        found: dict[str, Any] | None = connection.execute(wanted).scalar()
    return found


def check_marks(review: Review, marks: Mapping[str, str]) -> None:
    """Refuses marks of questions that are not asked, and values that are no answer to them.

    Raises:
        UserError: names the question.
    """
    for key, value in marks.items():
        question = review.questions.get(key)
        if question is None:
            raise UserError(f"{review!s} asks no question {key[:60]!r}", fix=f"it asks: {', '.join(review.questions)}")
        allowed = [*question.criterion.values(), SKIP]
        if value not in allowed:
            raise UserError(f"{value[:60]!r} is no answer to {key}", fix=f"use one of: {', '.join(allowed)}")


def save(store: Store, review: Review, answer: Answer) -> tuple[bool, Answer]:
    """Keeps an answer, unless a newer one is there.

    Returns:
        Whether it is what is kept now, and what is.

    Raises:
        NotFound: the item is not this rater's.
        UserError: the marks do not fit the rubric.
    """
    from sqlalchemy import select

    from tunesmith.store.tables import review_answers as answers
    from tunesmith.store.tables import review_assignments as assigned

    check_marks(review, answer.marks)
    key = {"review": review.id, "item": answer.item, "person": answer.person}

    def mine(table: Table) -> Any:
        return [table.c[name] == value for name, value in key.items()]

    def work(connection: Connection) -> tuple[bool, Answer]:
        if connection.execute(select(assigned.c.item).where(*mine(assigned))).first() is None:
            raise NotFound(
                f"item {answer.item} is not among this rater's", where=str(review), fix="rate those that are"
            )
        row = connection.execute(select(answers).where(*mine(answers))).first()
        if row is not None and row.revision >= answer.revision:
            kept = _answer(row)
            return (kept.marks, kept.note, kept.revision) == (answer.marks, answer.note, answer.revision), kept
        said = {
            "marks": answer.marks,
            "note": answer.note,
            "seconds": min(answer.seconds, MOST_SECONDS),
            "revision": answer.revision,
            "saved_at": time.time(),
        }
        statement = (
            answers.insert().values(**key, **said)
            if row is None
            else answers.update().where(*mine(answers)).values(**said)
        )
        connection.execute(statement)
        return True, answer

    return store.write(work)


def settle(
    store: Store, review: Review, person: Person, item: int, question: str, value: str | None, note: str = ""
) -> None:
    """Decides what holds for a question of an item, in place of what raters said; None takes the decision back.

    Raises:
        NotFound: no such item.
        UserError: the person is no adjudicator, or the value does not fit the question.
    """
    from tunesmith.store.tables import review_items as items
    from tunesmith.store.tables import review_settled as settled

    if person.role != "adjudicator":
        raise UserError(f"{person.name} rates and does not adjudicate", where=str(review), fix="use the other link")
    check_marks(review, {question: SKIP if value is None else value})
    key = {"review": review.id, "item": item, "question": question}

    def work(connection: Connection) -> None:
        from sqlalchemy import select

        if (
            connection.execute(select(items.c.item).where(items.c.review == review.id, items.c.item == item)).first()
            is None
        ):
            raise NotFound(f"no item {item}", where=str(review), fix="name one that is there")
        connection.execute(settled.delete().where(*(settled.c[name] == held for name, held in key.items())))
        if value is not None:
            said = {"value": value, "note": note, "person": person.number, "settled_at": time.time()}
            connection.execute(settled.insert().values(**key, **said))

    store.write(work)


def person_of(store: Store, review: Review, token_hash: str) -> Person | None:
    """Whose a token is at this moment; None where it is nobody's."""
    from sqlalchemy import select

    from tunesmith.store.tables import review_people as people

    with store.read() as connection:
        row = connection.execute(
            select(people).where(people.c.review == review.id, people.c.token_hash == token_hash)
        ).first()
    return Person(row.person, row.name, row.role) if row else None
