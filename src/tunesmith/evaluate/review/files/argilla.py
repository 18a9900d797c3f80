"""Argilla: records for each rater as `rg.Dataset.records.from_json` reads them, settings, and responses back.

The forms are those of Argilla 2: `Record.to_dict` and `Settings.serialize`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.errors import UserError
from tunesmith.evaluate.review.files import Given, Task, mark_of, number_of, same_review, tasks_of
from tunesmith.evaluate.review.rubric import SKIP, Question
from tunesmith.evaluate.review.stored import Filled
from tunesmith.runs import write_json


def write(review: Filled, folder: Path) -> list[Path]:
    """`settings.json` for the dataset, and a file of records for each rater."""
    paths = [folder / "settings.json"]
    write_json(paths[0], settings(review))
    for rater in review.raters:
        paths.append(folder / f"{rater.name}.json")
        write_json(paths[-1], [_record(review, rater.name, task) for task in tasks_of(review, rater)])
    return paths


def settings(review: Filled) -> dict[str, Any]:
    """The dataset's settings."""
    rubric = review.review.rubric
    fields = ["prompt", *(f"output_{chr(ord('a') + place)}" for place in range(len(review.review.plan["arms"])))]
    fields += ["reference"] if rubric.reference else []
    return {
        "guidelines": rubric.instructions or rubric.title,
        "fields": [
            {"name": name, "title": name, "required": False, "settings": {"type": "text", "use_markdown": False}}
            for name in fields
        ],
        "questions": [*map(_question, review.review.questions.values()), _NOTE],
        "metadata": [
            {"name": name, "title": name, "settings": {"type": kind}, "visible_for_annotators": False}
            for name, kind in (("review", "terms"), ("rater", "terms"), ("item", "integer"))
        ],
        "vectors": [],
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


_NOTE = {
    "name": "note",
    "title": "Note",
    "description": None,
    "required": False,
    "settings": {"type": "text", "use_markdown": False},
}


def _question(question: Question) -> dict[str, Any]:
    criterion = question.criterion
    about = f" (answer {question.output})" if question.output else ""
    words = zip((*criterion.values(), SKIP), (*criterion.words(), "cannot tell"), strict=True)
    return {
        "name": question.key,
        "title": f"{criterion.question}{about}",
        "description": criterion.help or None,
        "required": True,
        "settings": {
            "type": "label_selection",
            "options": [
                {"value": value, "text": f"{value} – {word}" if word and word != value else value, "description": None}
                for value, word in words
            ],
            "visible_options": max(3, len(criterion.values()) + 1),
        },
    }


def _record(review: Filled, rater: str, task: Task) -> dict[str, Any]:
    fields = {"prompt": task.prompt}
    fields |= {f"output_{letter.lower()}": text for letter, text in task.shown["outputs"].items()}
    if review.review.rubric.reference:
        fields["reference"] = task.shown["reference"] or ""
    said = {**task.marks, **({"note": task.note} if task.note else {})}
    return {
        "id": str(task.item),
        "fields": fields,
        "metadata": {"review": mark_of(review), "rater": rater, "item": task.item},
        "suggestions": {key: {"value": value, "score": None, "agent": rater} for key, value in said.items()},
        "responses": {},
        "vectors": {},
    }


def read(review: Filled, rows: Sequence[Mapping[str, Any]], name: str) -> list[Given]:
    """What exported records say.

    Raises:
        UserError: it is no export of Argilla's, of another review, or two people answered one rater's record.
    """
    found = []
    for number, row in enumerate(rows, 1):
        where, metadata, responses = f"{name} record {number}", row.get("metadata"), row.get("responses")
        if not isinstance(metadata, dict) or not isinstance(responses, dict):
            raise UserError("is no record of Argilla", where=where, fix="export it again: dataset.records.to_json")
        same_review(review, str(metadata.get("review", "")), where)
        marks = {str(key): _value(key, given, where) for key, given in responses.items() if given}
        note = marks.pop("note", "")
        if marks or note:
            rater, item = str(metadata.get("rater", "")), number_of(metadata.get("item"), where)
            found.append(Given(rater, item, marks, note, where))
    return found


def _value(key: str, given: Any, where: str) -> str:
    try:
        if len({str(one.get("user_id")) for one in given}) > 1:
            raise UserError(
                f"two people answered {key!r} of a record that is one rater's",
                where=where,
                fix="give each rater a dataset of their own",
            )
        return str(given[-1]["value"])
    except (AttributeError, KeyError, TypeError, IndexError):
        raise UserError(
            f"holds a response to {key!r} in a form that is not known", where=where, fix="export it again"
        ) from None
