"""Tasks written for other tools, filled there, and read back: CSV, Label Studio, Argilla."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.review_fixture import RATERS, made, rubric, say

from tunesmith.errors import SpecError, UserError
from tunesmith.evaluate.review import stored
from tunesmith.evaluate.review.files import read_given, take, write_tasks
from tunesmith.evaluate.review.files.argilla import settings
from tunesmith.evaluate.review.files.label_studio import interface
from tunesmith.evaluate.review.stored import Filled, Review
from tunesmith.runs import write_text
from tunesmith.store.open import Store

ANNAS = {"review": "support-triage/4#1", "rater": "anna", "item": 1}
TWO = [{"value": "yes", "user_id": 1}, {"value": "no", "user_id": 2}]
MARKS = {"helpful-a": "4", "helpful-b": "skip", "safe-a": "yes", "tone-b": "cold", "preference": "tie"}
HOSTILE = {"base": '=HYPERLINK("http://x")\r\n,;"\t\u202e</Text>', "tuned": "+1\n\n'quoted' $prompt <b>&amp;"}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Store, Review]]:
    store, review = made(tmp_path, outputs=HOSTILE)
    yield store, review
    store.close()


def fill_csv(path: Path, marks: dict[str, str], note: str, delimiter: str = ",", encoding: str = "utf-8-sig") -> None:
    """As a spreadsheet does: reads, fills the first row, writes every cell again."""
    table = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    for key, value in {**marks, "note": note}.items():
        table[1][table[0].index(key)] = value
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(table)
    path.write_text(text.getvalue(), encoding)


def fill_label_studio(path: Path, marks: dict[str, str], note: str) -> None:
    """As Label Studio exports it."""
    tasks = json.loads(path.read_text())
    result: list[dict[str, Any]] = [
        {"id": "x", "from_name": key, "to_name": "prompt", "type": "choices", "value": {"choices": [value]}}
        for key, value in marks.items()
    ]
    result.append({"from_name": "note", "to_name": "prompt", "type": "textarea", "value": {"text": [note]}})
    older = [{"from_name": "safe-a", "to_name": "prompt", "type": "choices", "value": {"choices": ["no"]}}]
    tasks[0]["annotations"] = [
        {"id": 2, "completed_by": 1, "result": result, "was_cancelled": False, "updated_at": "2026-02-02T10:00:00Z"},
        {"id": 1, "completed_by": 1, "result": older, "was_cancelled": False, "updated_at": "2026-02-01T10:00:00Z"},
        {"id": 3, "completed_by": 1, "result": older, "was_cancelled": True, "updated_at": "2026-02-03T10:00:00Z"},
    ]
    path.write_text(json.dumps(tasks))


def fill_argilla(path: Path, marks: dict[str, str], note: str) -> None:
    """As `dataset.records.to_json` writes it."""
    records = json.loads(path.read_text())
    records[0]["responses"] = {
        key: [{"value": value, "user_id": "u1"}] for key, value in {**marks, "note": note}.items()
    }
    records[0] |= {"status": "completed", "_server_id": "s1"}
    path.write_text(json.dumps(records))


FORMS: dict[str, tuple[str, Callable[..., None]]] = {
    "csv": ("anna.csv", fill_csv),
    "label_studio": ("anna.json", fill_label_studio),
    "argilla": ("anna.json", fill_argilla),
}


def anna(store: Store, review: Review) -> dict[int, stored.Answer]:
    found = stored.filled(store, review)
    return {answer.item: answer for answer in found.answers if answer.person == 1}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_filled_in_comes_back(opened: tuple[Store, Review], tmp_path: Path, form: Any) -> None:
    store, review = opened
    say(store, review, "anna", 1, safe_a="no", safe_b="yes")
    name, filler = FORMS[form]
    written = write_tasks(stored.filled(store, review), form, tmp_path / "out")
    assert {path.stem for path in written} >= set(RATERS)
    assert not any("tuned" in path.read_text().replace("what tuned", "") for path in written), (
        "which arm is which is told"
    )
    filler(tmp_path / "out" / name, MARKS, "=note, with\nlines")
    given = read_given(stored.filled(store, review), tmp_path / "out" / name)
    assert take(store, stored.filled(store, review), given) == 1
    answer = anna(store, review)[1]
    assert answer.marks == {**MARKS, "safe-b": "yes"} and answer.note == "=note, with\nlines"
    assert answer.revision == 2
    # Read again, nothing changes; written and read again, it is the same.
    assert take(store, stored.filled(store, review), given) == 0
    write_tasks(stored.filled(store, review), form, tmp_path / "again")
    again = read_given(stored.filled(store, review), tmp_path / "again" / name)
    assert take(store, stored.filled(store, review), again) == 0


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_as_spreadsheets_save_it(opened: tuple[Store, Review], tmp_path: Path, delimiter: str) -> None:
    store, review = opened
    write_tasks(stored.filled(store, review), "csv", tmp_path)
    fill_csv(tmp_path / "anna.csv", {"safe-a": "YES", "tone-a": " Cold "}, "", delimiter)
    take(store, stored.filled(store, review), read_given(stored.filled(store, review), tmp_path / "anna.csv"))
    assert anna(store, review)[1].marks == {"safe-a": "yes", "tone-a": "cold"}


def test_no_cell_is_a_formula_and_texts_are_whole(opened: tuple[Store, Review], tmp_path: Path) -> None:
    store, review = opened
    write_tasks(stored.filled(store, review), "csv", tmp_path)
    text = (tmp_path / "anna.csv").read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert rows[0]["output_a"] == f"'{HOSTILE['base']} 1" and rows[0]["output_b"] == f"'{HOSTILE['tuned']} 1"
    assert not [cell for row in rows for cell in row.values() if cell[:1] in ("=", "+", "-", "@")]
    assert "## helpful-a (answer A)" in (tmp_path / "rubric.md").read_text()


def test_the_interface_is_xml_that_names_every_question() -> None:
    asked = rubric(
        {"name": "x", "question": 'a "quoted" <b> & $prompt', "anchors": ["bad", "good"]},
        {"name": "y", "kind": "yes_no"},
        reference=True,
    )
    review = Review(9, "r/1", 1, asked, {"arms": ["tuned"]})
    text = interface(Filled(review, [], {}, {}, [], {}))
    tree = ElementTree.fromstring(text)
    choices = {one.get("name"): [choice.get("alias") for choice in one] for one in tree.iter("Choices")}
    assert choices == {"x-a": ["1", "2", "3", "4", "5", "skip"], "y-a": ["yes", "no", "skip"]}
    assert {one.get("name") for one in tree.iter("Text")} == {"prompt", "reference", "output_a"}
    assert 'a "quoted" <b> & \uff04prompt' in [one.get("value") for one in tree.iter("Header")]


def test_label_studio_without_aliases(opened: tuple[Store, Review], tmp_path: Path) -> None:
    """Older versions of it give back what was shown."""
    store, review = opened
    write_tasks(stored.filled(store, review), "label_studio", tmp_path)
    fill_label_studio(tmp_path / "anna.json", {"safe-a": "no – No"}, "")
    take(store, stored.filled(store, review), read_given(stored.filled(store, review), tmp_path / "anna.json"))
    assert anna(store, review)[1].marks == {"safe-a": "no"}


def test_settings_name_every_question(opened: tuple[Store, Review]) -> None:
    store, review = opened
    said = settings(stored.filled(store, review))
    assert [one["name"] for one in said["questions"]] == [*review.questions, "note"]
    options = [one["value"] for one in said["questions"][0]["settings"]["options"]]
    assert options == ["1", "2", "3", "4", "5", "skip"]
    assert [one["name"] for one in said["fields"]] == ["prompt", "output_a", "output_b"]


def test_every_problem_is_said_and_nothing_is_taken(opened: tuple[Store, Review], tmp_path: Path) -> None:
    store, review = opened
    write_tasks(stored.filled(store, review), "csv", tmp_path)
    path = tmp_path / "anna.csv"
    lines = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    at = lines[0].index("helpful-a")
    lines[1][at], lines[2][at], lines[3][1], lines[4][2] = "4", "6", "dora", "77"
    lines[5][lines[0].index("note")] = "x" * 5000
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    write_text(path, text.getvalue())
    with pytest.raises(SpecError) as caught:
        take(store, stored.filled(store, review), read_given(stored.filled(store, review), path))
    said = str(caught.value)
    for words in (
        "anna.csv row 3: '6' is no answer to helpful-a",
        "no rater 'dora'",
        "item 77 is not among",
        "5,000 characters",
    ):
        assert words in said
    assert not stored.filled(store, review).answers


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", "has no column"),
        ("", "has no column"),
        ("review,rater,item\nother/1#1,anna,1\n", "is of 'other/1#1', not of"),
        ("review,rater,item\nsupport-triage/4#1,anna,one\n", "no item's number"),
        ("[1]", "not a list of tasks"),
        ("[" * 99999, "is not JSON"),
        ('[{"x": 1}]', "no task of Label Studio"),
        ('[{"data": {"review": "other"}}]', "is of 'other'"),
        (json.dumps([{"data": ANNAS, "annotations": [{"result": [{"a": 1}]}]}]), "a form that is not known"),
        ('[{"responses": {}, "metadata": null}]', "no record of Argilla"),
        (json.dumps([{"responses": {"safe-a": TWO}, "metadata": ANNAS}]), "two people answered"),
        ('[{"responses": {"safe-a": [1]}, "metadata": {"review": "support-triage/4#1"}}]', "a form that is not known"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(opened: tuple[Store, Review], tmp_path: Path, content: str, said: str) -> None:
    store, review = opened
    write_text(tmp_path / "given", content)
    with pytest.raises(UserError) as caught:
        read_given(stored.filled(store, review), tmp_path / "given")
    assert said in str(caught.value)


def test_a_file_that_is_not_text(opened: tuple[Store, Review], tmp_path: Path) -> None:
    store, review = opened
    (tmp_path / "given").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "given", tmp_path / "none"):
        with pytest.raises(UserError, match="cannot be read"):
            read_given(stored.filled(store, review), path)
