"""Label Studio: a file of tasks for each rater and the labelling interface; ratings come back by its JSON export.

The forms are those of labelstud.io/guide/tasks and /guide/export (JSON): a task's `data`, and `annotations` with
`result` entries `{from_name, to_name, type, value}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tunesmith.errors import UserError
from tunesmith.evaluate.review.files import Given, Task, mark_of, number_of, same_review, tasks_of
from tunesmith.evaluate.review.rubric import SKIP, Question
from tunesmith.evaluate.review.stored import Filled
from tunesmith.runs import write_json, write_text


def write(review: Filled, folder: Path) -> list[Path]:
    """`interface.xml` for the project's settings, and a file of tasks for each rater."""
    paths = [folder / "interface.xml"]
    write_text(paths[0], interface(review))
    for rater in review.raters:
        paths.append(folder / f"{rater.name}.json")
        write_json(paths[-1], [_task(review, rater.name, task) for task in tasks_of(review, rater)])
    return paths


def interface(review: Filled) -> str:
    """The labelling interface: the texts, then every question as choices."""
    rubric = review.review.rubric
    lines = ["<View>", f"  <Header value={_attribute(rubric.title)}/>", '  <Text name="prompt" value="$prompt"/>']
    if rubric.reference:
        lines += ['  <Header value="Right answer"/>', '  <Text name="reference" value="$reference"/>']
    for place in range(len(review.review.plan["arms"])):
        letter = chr(ord("A") + place)
        lines += [
            f'  <Header value="Answer {letter}"/>',
            f'  <Text name="output_{letter.lower()}" value="$output_{letter.lower()}"/>',
        ]
        lines += [
            line
            for question in review.review.questions.values()
            if question.output == letter
            for line in _choices(question)
        ]
    lines += [
        line for question in review.review.questions.values() if question.output is None for line in _choices(question)
    ]
    lines += ['  <TextArea name="note" toName="prompt" maxSubmissions="1" placeholder="Note"/>', "</View>"]
    return "\n".join(lines) + "\n"


def _choices(question: Question) -> list[str]:
    criterion = question.criterion
    to = f"output_{question.output.lower()}" if question.output else "prompt"
    lines = [f'  <Header size="5" value={_attribute(criterion.question)}/>']
    lines.append(f'  <Choices name="{question.key}" toName="{to}" choice="single" showInline="true">')
    for value, word in zip((*criterion.values(), SKIP), (*criterion.words(), "cannot tell"), strict=True):
        said = f"{value} – {word}" if word and word != value else value
        lines.append(f"    <Choice value={_attribute(said)} alias={_attribute(value)}/>")
    return [*lines, "  </Choices>"]


def _attribute(text: str) -> str:
    # Label Studio reads `$name` in an attribute as a field of the task; a wide dollar is none.
    return quoteattr(text.replace("$", "\uff04"))


def _task(review: Filled, rater: str, task: Task) -> dict[str, Any]:
    data = {"review": mark_of(review), "rater": rater, "item": task.item, "prompt": task.prompt}
    data |= {f"output_{letter.lower()}": text for letter, text in task.shown["outputs"].items()}
    if review.review.rubric.reference:
        data["reference"] = task.shown["reference"] or ""
    if not task.marks and not task.note:
        return {"data": data}
    result: list[dict[str, Any]] = [
        {"from_name": key, "to_name": "prompt", "type": "choices", "value": {"choices": [value]}}
        for key, value in task.marks.items()
    ]
    if task.note:
        result.append({"from_name": "note", "to_name": "prompt", "type": "textarea", "value": {"text": [task.note]}})
    return {"data": data, "annotations": [{"result": result}]}


def read(review: Filled, rows: Sequence[Mapping[str, Any]], name: str) -> list[Given]:
    """What an exported file says; of several annotations of a task the latest, cancelled ones aside.

    Raises:
        UserError: it is no export of Label Studio's, or of another review.
    """
    found = []
    for number, row in enumerate(rows, 1):
        where, data = f"{name} task {number}", row.get("data")
        if not isinstance(data, dict):
            raise UserError("is no task of Label Studio: it has no data", where=where, fix="export it again as JSON")
        same_review(review, str(data.get("review", "")), where)
        listed = row.get("annotations")
        done = (
            [one for one in listed if isinstance(one, dict) and not one.get("was_cancelled")]
            if isinstance(listed, list)
            else []
        )
        if not done:
            continue
        latest = max(done, key=lambda one: str(one.get("updated_at", "")))
        marks, note = _said(review, latest.get("result"), where)
        found.append(Given(str(data.get("rater", "")), number_of(data.get("item"), where), marks, note, where))
    return found


def _said(review: Filled, result: Any, where: str) -> tuple[dict[str, str], str]:
    marks, note = {}, ""
    for entry in result if isinstance(result, list) else []:
        try:
            key, value = str(entry["from_name"]), entry["value"]
            if key == "note":
                note = "\n".join(map(str, value["text"])) if isinstance(value["text"], list) else str(value["text"])
            else:
                marks[key] = _value(review, key, str(value["choices"][0]))
        except (KeyError, TypeError, IndexError):
            raise UserError(
                "holds a result in a form that is not known", where=where, fix="use the interface as exported"
            ) from None
    return marks, note


def _value(review: Filled, key: str, said: str) -> str:
    """The value a choice means: its alias, or what stands before the dash of what was shown."""
    question = review.review.questions.get(key)
    allowed = [*question.criterion.values(), SKIP] if question else []
    return said if said in allowed else next((value for value in allowed if said.startswith(f"{value} – ")), said)
