"""Review tasks as files for other tools, and ratings read back from them: CSV, Label Studio, Argilla.

A file is for one rater and says so, and says of which review it is; so nothing can be read into the wrong one. What
raters must not know, which arm an answer is of, stands in no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith.errors import Problem, SpecError, UserError
from tunesmith.evaluate.review.rubric import SKIP
from tunesmith.evaluate.review.stored import LONGEST_NOTE, Answer, Filled, Person, save
from tunesmith.store.open import Store

Format = Literal["csv", "label_studio", "argilla"]


@dataclass(frozen=True)
class Task:
    """An item as a rater gets it, with what the rater has said already."""

    item: int
    shown: Mapping[str, Any]
    marks: Mapping[str, str]
    note: str

    @property
    def prompt(self) -> str:
        """The conversation as one text."""
        turns = self.shown["prompt"]
        if len(turns) == 1:
            return str(turns[0]["content"])
        return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)


@dataclass(frozen=True)
class Given:
    """What a file says of an item."""

    rater: str
    item: int
    marks: Mapping[str, str]
    note: str
    where: str


def mark_of(review: Filled) -> str:
    """What files call the review: `support-triage/4#1`."""
    return f"{review.review.run}#{review.review.number}"


def tasks_of(review: Filled, rater: Person) -> list[Task]:
    """A rater's items in order."""
    said = {answer.item: answer for answer in review.answers if answer.person == rater.number}
    found = []
    for item in review.assigned[rater.number]:
        answer = said.get(item)
        found.append(
            Task(item, review.items[item].shown, answer.marks if answer else {}, answer.note if answer else "")
        )
    return found


def write_tasks(review: Filled, format_: Format, folder: Path) -> list[Path]:
    """Writes every rater's tasks, with what they said so far, and what the other tool needs beside them.

    Returns:
        The files written.
    """
    from tunesmith.evaluate.review.files import argilla, label_studio, spreadsheet

    writers: dict[Format, Callable[[Filled, Path], list[Path]]] = {
        "csv": spreadsheet.write,
        "label_studio": label_studio.write,
        "argilla": argilla.write,
    }
    return writers[format_](review, folder)


def read_given(review: Filled, path: Path) -> list[Given]:
    """What a filled file says; its form follows from its content.

    Raises:
        UserError: it is none of the forms, or of another review.
    """
    from tunesmith.evaluate.review.files import argilla, label_studio, spreadsheet

    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"cannot be read: {reason}", where=str(path), fix="export it again as UTF-8") from None
    start = text.lstrip()[:1]
    if start not in ("[", "{"):
        return spreadsheet.read(review, text, path.name)
    import json

    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"is not JSON: {error}", where=str(path), fix="export it again") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError("is not a list of tasks", where=str(path), fix="export it again as JSON")
    reader = argilla.read if any("responses" in row for row in rows) else label_studio.read
    return reader(review, rows, path.name)


def take(store: Store, review: Filled, given: Sequence[Given]) -> int:
    """Puts what files say into the store: all of it, or nothing when anything is wrong.

    What a file says replaces what its rater said before; what it leaves empty stays as it was.

    Returns:
        How many items changed.

    Raises:
        SpecError: with every problem of every row.
    """
    people = {person.name: person for person in review.raters}
    problems = [Problem(row.where, what) for row in given for what in _wrong(review, people, row)]
    if problems:
        raise SpecError(problems)
    before = {(answer.item, answer.person): answer for answer in review.answers}
    changed = 0
    for row in given:
        person = people[row.rater]
        old = before.get((row.item, person.number), Answer(row.item, person.number, {}, "", 0.0, 0))
        marks, note = {**old.marks, **row.marks}, row.note or old.note
        if (marks, note) != (old.marks, old.note):
            new = Answer(row.item, person.number, marks, note, old.seconds, old.revision + 1)
            save(store, review.review, new)
            before[row.item, person.number] = new
            changed += 1
    return changed


def _wrong(review: Filled, people: Mapping[str, Person], row: Given) -> list[str]:
    if row.rater not in people:
        return [f"no rater {row.rater[:60]!r}; there are {', '.join(people)}"]
    if row.item not in review.assigned[people[row.rater].number]:
        return [f"item {row.item} is not among those of {row.rater}"]
    found = []
    for key, value in row.marks.items():
        question = review.review.questions.get(key)
        if question is None:
            found.append(f"no question {key[:60]!r}; there are {', '.join(review.review.questions)}")
        elif value not in (*question.criterion.values(), SKIP):
            allowed = ", ".join((*question.criterion.values(), SKIP))
            found.append(f"{value[:60]!r} is no answer to {key}; use one of: {allowed}")
    if len(row.note) > LONGEST_NOTE:
        found.append(f"the note has {len(row.note):,} characters; {LONGEST_NOTE:,} are allowed")
    return found


def same_review(review: Filled, said: str, where: str) -> None:
    """Refuses a file of another review.

    Raises:
        UserError: it is of another.
    """
    if said != mark_of(review):
        told = f"of {said[:80]!r}" if said else "of no review that it names"
        raise UserError(f"is {told}, not of {mark_of(review)}", where=where, fix="name its run, or keep its columns")


def number_of(said: Any, where: str) -> int:
    """An item's number as a file has it.

    Raises:
        UserError: it is no number.
    """
    try:
        return int(said)
    except (TypeError, ValueError):
        raise UserError(
            f"{str(said)[:60]!r} is no item's number", where=where, fix="leave that column as it was"
        ) from None
