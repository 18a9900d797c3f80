"""Who takes part in a review that has begun: raters who join, and links that are taken back."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.errors import NotFound, UserError
from tunesmith.evaluate.review.draw import check_names
from tunesmith.evaluate.review.stored import Filled, Person, Review
from tunesmith.store.open import Store

if TYPE_CHECKING:
    from sqlalchemy import Connection

REVOKED, CLOSED = "revoked", "closed"
"""In a review's plan: person -> how many links were taken back; and the persons who have none now."""


def revoked(review: Review, person: int) -> int:
    """How many links of a person were taken back."""
    found: int = review.plan.get(REVOKED, {}).get(str(person), 0)
    return found


def has_link(review: Review, person: int) -> bool:
    """Whether a person has a link now."""
    return person not in review.plan.get(CLOSED, [])


def newcomers(review: Filled, names: Sequence[str]) -> dict[Person, list[int]]:
    """Raters to add, each with the items that they get: those that all have, from which agreement is told, then those
    with the fewest raters, until they have as many as the others.

    Raises:
        UserError: a name is taken, or is none.
    """
    check_names(names)
    taken = {person.name for person in review.people}
    if both := [name for name in names if name in taken]:
        raise UserError(f"{both[0]} takes part already", where=str(review.review), fix="add people of other names")
    dealt = [review.assigned[rater.number] for rater in review.raters]
    common = set(review.items).intersection(*dealt)
    size = max(map(len, dealt))
    raters = Counter(item for items in dealt for item in items)
    shuffle = random.Random(f"{review.review.plan['seed']} {len(review.people)}")
    found, first = {}, max(person.number for person in review.people) + 1
    for number, name in enumerate(names, first):
        order = shuffle.sample(sorted(review.items), len(review.items))
        chosen = sorted(order, key=lambda item: (item not in common, raters[item]))[:size]
        raters.update(chosen)
        found[Person(number, name, "rater")] = shuffle.sample(chosen, len(chosen))
    return found


def add(store: Store, review: Review, people: dict[Person, list[int]], hashes: Sequence[str]) -> None:
    """Puts raters and their items into the store: all of them, or none.

    Args:
        people: of `newcomers`.
        hashes: of their tokens.
    """
    from tunesmith.store.tables import review_assignments, review_people

    def work(connection: Connection) -> None:
        for (person, items), hash_ in zip(people.items(), hashes, strict=True):
            key = {"review": review.id, "person": person.number}
            connection.execute(
                review_people.insert().values(**key, name=person.name, role=person.role, token_hash=hash_)
            )
            places = [{**key, "item": item, "place": place} for place, item in enumerate(items, 1)]
            connection.execute(review_assignments.insert(), places)

    store.write(work)


def find_person(review: Filled, name: str) -> Person:
    """Who has that name.

    Raises:
        NotFound: nobody has.
    """
    for person in review.people:
        if person.name == name:
            return person
    known = ", ".join(person.name for person in review.people)
    raise NotFound(f"nobody is called {name!r}", where=str(review.review), fix=f"use one of: {known}")


def revoke(store: Store, review: Review, person: Person, hash_: str, *, closed: bool) -> Review:
    """Takes a person's link back. What the person said stays.

    Args:
        hash_: of the token that opens the person's pages from now on; of one that nobody has where none should.
        closed: whether none should.

    Returns:
        The review as it is now.
    """
    from tunesmith.store.tables import review_people, reviews

    counts = {**review.plan.get(REVOKED, {}), str(person.number): revoked(review, person.number) + 1}
    without = [number for number in review.plan.get(CLOSED, []) if number != person.number]
    plan: dict[str, Any] = {**review.plan, REVOKED: counts, CLOSED: [*without, *([person.number] if closed else [])]}

    def work(connection: Connection) -> None:
        connection.execute(reviews.update().where(reviews.c.id == review.id).values(plan=plan))
        mine = (review_people.c.review == review.id) & (review_people.c.person == person.number)
        connection.execute(review_people.update().where(mine).values(token_hash=hash_))

    store.write(work)
    return Review(review.id, review.run, review.number, review.rubric, plan)
