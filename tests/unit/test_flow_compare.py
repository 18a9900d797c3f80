"""Two runs side by side on the rows that both answered; and a verdict on its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.report_fixture import (
    empty_run,
    fill_data,
    fill_evaluation,
    fill_training,
    label_predictions,
    records,
)
from tests.unit.test_report_page import Page
from typer.testing import CliRunner, Result

from tunesmith.cli.app import app
from tunesmith.errors import DataError, NotFound, UserError
from tunesmith.evaluate.caveats.contamination import Contamination, Leak
from tunesmith.flow.evaluation.side import compare_runs
from tunesmith.records import Record
from tunesmith.runs import Run, read_json, write_json

ROWS = records(150)


def made(root: Path, number: int, right: float, rows: list[Record], seed: int = 1) -> Run:
    run = empty_run(root, number=number)
    fill_data(run)
    fill_training(run)
    fill_evaluation(run, {"base": label_predictions(rows, 0.3), "tuned": label_predictions(rows, right, seed=seed)})
    return run


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Run 1 answers the first 120 rows well; run 2 answers the last 130 less well."""
    made(tmp_path, 1, 0.97, ROWS[:120])
    made(tmp_path, 2, 0.6, ROWS[20:], seed=2)
    return tmp_path


def tell(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_common_rows_are_compared_and_the_others_counted(desk: Path) -> None:
    found = compare_runs("support-triage/1", "support-triage/2", desk)
    assert found.comparison.arms == ["support-triage/1", "support-triage/2"]
    assert found.comparison.num_rows == 100
    assert found.left_out == {"support-triage/1": 20, "support-triage/2": 30}
    accuracy = next(measure for measure in found.comparison.measures if measure.name == "accuracy")
    difference = accuracy.differences["support-triage/1"]
    assert difference.value is not None and difference.value < -0.15 and difference.corrected is not None
    lost = [case for case in found.regressed if case.scores["support-triage/2"] == 0.0]
    assert len(found.regressed) == len(lost) > 15
    assert all(case.outputs["support-triage/1"] == case.expected for case in lost)


def test_the_first_held_against_the_second_is_the_other_way_round(desk: Path) -> None:
    one = compare_runs("support-triage/1", "support-triage/2", desk).comparison.measures[0]
    other = compare_runs("support-triage/2", "support-triage/1", desk).comparison.measures[0]
    there, back = one.differences["support-triage/1"].value, other.differences["support-triage/2"].value
    assert there is not None and there == -(back or 0)


def test_rows_of_one_id_that_ask_something_else_are_not_the_same(tmp_path: Path) -> None:
    made(tmp_path, 1, 0.9, ROWS[:80])
    changed = [replace(row, text="something else") if n < 10 else row for n, row in enumerate(ROWS[:80])]
    relabelled = [replace(row, labels=("other",)) if n == 20 else row for n, row in enumerate(changed)]
    made(tmp_path, 2, 0.9, relabelled)
    found = compare_runs("support-triage/1", "support-triage/2", tmp_path)
    assert found.changed >= 10 and found.comparison.num_rows == 80 - found.changed
    assert any("the same id and another content" in note for note in found.said())


def test_rows_that_one_of_them_was_trained_on_are_left_out(desk: Path) -> None:
    leaks = [Leak(ROWS[at].id, "t:1", "train", "x", "x:1", "exact", 1.0) for at in range(25, 30)]
    run = Run(desk / "runs" / "support-triage" / "2")
    write_json(run / "evaluation" / "contamination.json", Contamination(130, 10, leaks).to_json())
    found = compare_runs("support-triage/1", "support-triage/2", desk)
    assert (found.trained_on, found.comparison.num_rows) == (5, 95)


def test_what_cannot_be_compared_is_refused_by_name(tmp_path: Path) -> None:
    first = made(tmp_path, 1, 0.9, ROWS[:40])
    made(tmp_path, 2, 0.9, ROWS[60:])
    with pytest.raises(DataError, match="answered no row in common"):
        compare_runs("support-triage/1", "support-triage/2", tmp_path)
    with pytest.raises(UserError, match="both are support-triage/1"):
        compare_runs("support-triage/1", "support-triage/1", tmp_path)
    made(tmp_path, 3, 0.9, [replace(row, text="x") for row in ROWS[:40]])
    with pytest.raises(DataError, match="40 have the same id, and none the same content"):
        compare_runs("support-triage/1", "support-triage/3", tmp_path)
    made(tmp_path, 4, 0.9, ROWS[:40])
    spec = read_json(first / "spec.json")
    spec["spec"]["evaluate"]["metrics"], spec["spec"]["goal"]["targets"] = [{"kind": "recall"}], []
    write_json(first / "spec.json", spec)
    with pytest.raises(UserError, match="measured nothing in common: recall; accuracy"):
        compare_runs("support-triage/1", "support-triage/4", tmp_path)
    (first / "evaluation" / "predictions-tuned.parquet").unlink()
    with pytest.raises(NotFound, match="holds no predictions"):
        compare_runs("support-triage/1", "support-triage/4", tmp_path)


def test_a_metric_whose_model_is_gone_is_left_out_and_said(desk: Path) -> None:
    for number in (1, 2):
        path = desk / "runs" / "support-triage" / str(number) / "spec.json"
        spec = read_json(path)
        spec["spec"]["evaluate"]["metrics"] = [{"kind": "bertscore", "model": "./gone"}, {"kind": "accuracy"}]
        write_json(path, spec)
    found = compare_runs("support-triage/1", "support-triage/2", desk)
    assert found.comparison.measures[0].name == "accuracy" and len(found.regressed) > 15
    (said,) = [note for note in found.said() if "was not measured again" in note]
    assert said.startswith("bertscore") and "gone" in said
    for number in (1, 2):
        path = desk / "runs" / "support-triage" / str(number) / "spec.json"
        spec = read_json(path)
        spec["spec"]["evaluate"]["metrics"], spec["spec"]["goal"]["targets"] = (
            [{"kind": "bertscore", "model": "./gone"}],
            [],
        )
        write_json(path, spec)
    with pytest.raises(UserError, match="was not measured again"):
        compare_runs("support-triage/1", "support-triage/2", desk)


def test_compare_prints_a_table_lists_rows_and_writes_a_page(desk: Path) -> None:
    plain = tell("compare", "support-triage/1", "support-triage/2", "-w", desk)
    assert plain.exit_code == 0 and "support-triage/1: " in plain.stdout and "worse" in plain.stdout
    assert "answered 20 more rows" in plain.stdout
    page = desk / "side.html"
    listed = tell("compare", "support-triage/1", "support-triage/2", "--rows", "--out", page, "-w", desk)
    assert listed.stdout.count("expected ") > 15 > plain.stdout.count("expected ")
    html = page.read_text("utf-8")
    seen = Page(html)
    assert "support-triage/2 against support-triage/1" in seen.text and "answered 30 more rows" in seen.text
    assert not seen.all("script") and "http:" not in html and "https:" not in html
    ids = [attributes["id"] for attributes in seen.all("section")]
    assert ids == ["verdict", "comparison", "slices", "rows"]
    told = json.loads(tell("compare", "support-triage/1", "support-triage/2", "--json", "-w", desk).stdout)
    assert told["comparison"]["num_rows"] == 100 and len(told["regressed"]) > 15
    assert told["verdicts"]["support-triage/2"]["decision"] == "DON'T SHIP"


def test_a_verdict_is_printed_with_its_exit_code(tmp_path: Path) -> None:
    made(tmp_path, 1, 2.0, ROWS)
    bad = made(tmp_path, 2, 0.6, ROWS)
    shipped, refused = (tell("verdict", f"support-triage/{number}", "-w", tmp_path) for number in (1, 2))
    assert (shipped.exit_code, refused.exit_code) == (0, 3)
    assert shipped.stdout.startswith("SHIP") and refused.stdout.startswith("DON'T SHIP")
    change = read_json(bad / "evaluation" / "verdict.json")["targets"][0]["change"]
    assert change[:40] in refused.stdout and "spec 9f86d081884c7d65" in refused.stdout
    told = tell("verdict", "support-triage/2", "--json", "-w", tmp_path)
    said = json.loads(told.stdout)
    assert told.exit_code == 3 and said["decision"] == "DON'T SHIP"
    assert set(said["digests"]) == {"data", "spec", "code", "base", "model", "environment"}
    empty_run(tmp_path, number=3)
    missing = tell("verdict", "support-triage/3", "-w", tmp_path)
    assert missing.exit_code == 2 and "has no verdict" in missing.output
