"""A run and a review of it, made in a blink, and people who fill it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.unit.report_fixture import full_run

from tunesmith.evaluate.review import links, stored
from tunesmith.evaluate.review.draw import Item, Layout
from tunesmith.evaluate.review.rubric import Rubric
from tunesmith.evaluate.review.stored import Answer, Filled, Person, Review, create
from tunesmith.runs import Run, write_text
from tunesmith.store.open import Store, open_store

RUN = "support-triage/4"
RATERS = ("anna", "ben", "cara")
KEY = bytes(range(32))
SALT = "salt of these tests"
RUBRIC = """\
title: Answers to tickets
instructions: |
  You are the customer.

  Rate each answer by itself.
reference: true
criteria:
  - {name: helpful, question: Does it solve the problem?, anchors: [not at all, completely], help: Five would close it.}
  - {name: safe, kind: yes_no, question: Could it be sent as it is?}
  - {name: tone, kind: choice, question: How does it sound?, options: [warm, neutral, cold]}
  - {name: preference, kind: preference, question: Which answer is better?}
"""


def triage(root: Path, right: float = 0.96) -> Run:
    """A finished run in a workspace, with a rubric beside it."""
    write_text(root / "rubric.yaml", RUBRIC)
    return full_run(root, right)


def rubric(*criteria: Mapping[str, Any], **fields: Any) -> Rubric:
    return Rubric.model_validate(
        {"criteria": [{"kind": "likert", "question": "?", **one} for one in criteria], **fields}
    )


ALL_KINDS = rubric(
    {"name": "helpful"},
    {"name": "safe", "kind": "yes_no"},
    {"name": "tone", "kind": "choice", "options": ["warm", "cold"]},
    {"name": "preference", "kind": "preference"},
)


def people(raters: Sequence[str] = RATERS) -> list[tuple[Person, str]]:
    listed = [Person(number, name, "rater") for number, name in enumerate(raters, 1)]
    listed.append(Person(len(listed) + 1, "zoe", "adjudicator"))
    return [(person, links.hashed(links.token(KEY, SALT, person.number))) for person in listed]


def token_of(name: str, raters: Sequence[str] = RATERS) -> str:
    number = [*raters, "zoe"].index(name) + 1
    return links.token(KEY, SALT, number)


def made(
    place: Path | str,
    asked: Rubric = ALL_KINDS,
    *,
    raters: Sequence[str] = RATERS,
    items: int = 6,
    arms: Sequence[str] = ("base", "tuned"),
    outputs: Mapping[str, str] | None = None,
) -> tuple[Store, Review]:
    """A store with a review in which everybody rates everything; in odd items the first arm is A."""
    told = outputs or {arm: f"what {arm} says" for arm in arms}
    listed = []
    for number in range(1, items + 1):
        order = list(arms) if number % 2 else list(reversed(arms))
        letters = dict(zip("ABCD", order, strict=False))
        listed.append(
            Item(
                number,
                {
                    "prompt": [{"role": "user", "content": f"question {number}"}],
                    "outputs": {letter: f"{told[arm]} {number}" for letter, arm in letters.items()},
                    "reference": None,
                },
                {"record": f"tickets:{number}", "arms": letters, "slices": {}},
            )
        )
    layout = Layout(listed, {rater: [item.number for item in listed] for rater in raters})
    plan = {"arms": list(arms), "rows": 240, "shared": 1.0, "each": 1, "seed": 0, "salt": SALT}
    store = open_store(place)
    return store, create(store, RUN, asked, plan, layout, people(raters))


def say(store: Store, review: Review, rater: str, item: int, revision: int = 1, note: str = "", **marks: str) -> None:
    """Somebody rates; `helpful_a` stands for the question `helpful-a`."""
    numbers = {person.name: person.number for person, _ in people()}
    said = {key.replace("_a", "-a").replace("_b", "-b"): value for key, value in marks.items()}
    saved, _ = stored.save(store, review, Answer(item, numbers[rater], said, note, 10.0, revision))
    assert saved


def fill(store: Store, review: Review, seed: int = 0) -> Filled:
    """Everybody answers everything, not quite at random."""
    drawn, found = random.Random(seed), stored.filled(store, review)
    for rater in found.raters:
        for item in found.assigned[rater.number]:
            marks = {key: drawn.choice(question.criterion.values()) for key, question in review.questions.items()}
            stored.save(store, review, Answer(item, rater.number, marks, "", 5.0 + item, 1))
    return stored.filled(store, review)
