"""CSV for spreadsheets: a row an item, a column a question. Columns that are only to be read are not read back."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tunesmith.errors import UserError
from tunesmith.evaluate.review.files import Given, Task, mark_of, number_of, same_review, tasks_of
from tunesmith.evaluate.review.rubric import SKIP
from tunesmith.evaluate.review.stored import Filled
from tunesmith.runs import write_text

_LONGEST_CELL = 2**24


def write(review: Filled, folder: Path) -> list[Path]:
    """A file for each rater, and the rubric in words."""
    paths = []
    for rater in review.raters:
        text = io.StringIO()
        lines = csv.writer(text)
        letters = [chr(ord("a") + place) for place in range(len(review.review.plan["arms"]))]
        shown = ["prompt", *(f"output_{letter}" for letter in letters)]
        shown += ["reference"] if review.review.rubric.reference else []
        lines.writerow(["review", "rater", "item", *shown, *review.review.questions, "note"])
        for task in tasks_of(review, rater):
            marks = [task.marks.get(key, "") for key in review.review.questions]
            read_only = [mark_of(review), rater.name, str(task.item), *_shown(task, letters, review)]
            lines.writerow([*map(_harmless, read_only), *marks, _harmless(task.note)])
        # The mark tells spreadsheets that it is UTF-8.
        path = folder / f"{rater.name}.csv"
        write_text(path, "\ufeff" + text.getvalue())
        paths.append(path)
    write_text(folder / "rubric.md", in_words(review))
    return [*paths, folder / "rubric.md"]


def in_words(review: Filled) -> str:
    """The rubric as a page: what is asked, and what may be answered."""
    rubric = review.review.rubric
    lines = [f"# {rubric.title}", "", *([rubric.instructions, ""] if rubric.instructions else [])]
    for question in review.review.questions.values():
        criterion = question.criterion
        about = f" (answer {question.output})" if question.output else ""
        words = [
            f"{value} = {word}" if word and word != value else value
            for value, word in zip(criterion.values(), criterion.words(), strict=True)
        ]
        lines += [
            f"## {question.key}{about}",
            "",
            criterion.question,
            *([criterion.help] if criterion.help else []),
            "",
        ]
        lines += [f"- {word}" for word in (*words, f"{SKIP} = cannot tell")] + [""]
    return "\n".join(lines)


def _shown(task: Task, letters: list[str], review: Filled) -> list[str]:
    outputs = [task.shown["outputs"][letter.upper()] for letter in letters]
    return [task.prompt, *outputs, *([task.shown["reference"] or ""] if review.review.rubric.reference else [])]


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def read(review: Filled, text: str, name: str) -> list[Given]:
    """What a filled file says; commas, semicolons or tabs, as the spreadsheet saved it.

    Raises:
        UserError: columns are missing, or it is of another review.
    """
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise UserError(f"is not CSV: {error}", where=name, fix="save it as CSV again") from None
    finally:
        csv.field_size_limit(before)
    columns = set(rows[0]) if rows else set()
    if missing := {"review", "rater", "item"} - columns:
        raise UserError(f"has no column {', '.join(sorted(missing))}", where=name, fix="keep the columns as exported")
    found = []
    for number, row in enumerate(rows, 2):
        where = f"{name} row {number}"
        cells = {
            key: (value or "").strip()
            for key, value in row.items()
            if isinstance(key, str) and isinstance(value, str | None)
        }
        same_review(review, cells["review"], where)
        marks = {key: _value(review, key, cells[key]) for key in review.review.questions if cells.get(key)}
        note = (
            cells.get("note", "").removeprefix("'") if cells.get("note", "")[1:2] in "=+-@" else cells.get("note", "")
        )
        found.append(Given(cells["rater"], number_of(cells["item"], where), marks, note, where))
    return found


def _value(review: Filled, key: str, cell: str) -> str:
    """The value a cell means, however it is capitalised."""
    allowed = [*review.review.questions[key].criterion.values(), SKIP]
    return next((value for value in allowed if value.casefold() == cell.casefold()), cell)
