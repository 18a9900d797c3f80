"""A cross-validated run, by the command: every row is tested once, by a model that had not learned it."""

from __future__ import annotations

import json
import signal
from itertools import combinations

import pytest

from tests.e2e.desk import make_desk, tunesmith
from tunesmith.errors import Interrupted
from tunesmith.evaluate.predict.stored import read_predictions
from tunesmith.flow.run import run
from tunesmith.runs import Run, read_json

FOLDS = (1, 2)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Where a run in two folds is done."""
    spec = make_desk(tmp_path_factory.mktemp("folds"), duration="1 epoch", bound=0.1)
    text = spec.read_text("utf-8").replace("split: {train: 0.5, validation: 0.2, test: 0.3}", "split: {seed: 1}")
    spec.write_text(text.replace("evaluate: {", "evaluate: {folds: 2, resamples: 100, "), "utf-8")
    tunesmith("run", spec.name, "--quiet", cwd=spec.parent)
    return spec.parent


def rows_of(desk, number):
    return {
        row.record.id for row in read_predictions(desk / f"runs/colours/1/folds/{number}/predictions-tuned.parquet")
    }


def test_every_row_is_tested_once(desk):
    folds = [rows_of(desk, number) for number in FOLDS]
    assert all(one.isdisjoint(other) for one, other in combinations(folds, 2))
    ledger = read_json(desk / "runs/colours/1/data/ledger.json")
    assert sum(map(len, folds)) == sum(split["rows"] for split in ledger["splits"].values()) == 240
    assert ledger["splits"]["test"]["rows"] == 0


def test_each_fold_is_a_run_of_its_own(desk):
    for number in FOLDS:
        run = Run(desk / f"runs/colours.fold-{number}/1")
        assert run.complete and read_json(run / "spec.json")["spec"]["data"]["split"]["fold"] == {
            "number": number,
            "of": 2,
        }
        ledger = read_json(run / "data/ledger.json")
        assert ledger["splits"]["test"]["rows"] == len(rows_of(desk, number)) == 120
        assert ledger["splits"]["train"]["rows"] > 90


def test_the_verdict_is_that_of_their_mean(desk):
    comparison = read_json(desk / "runs/colours/1/evaluation/comparison.json")
    accuracy = next(measure for measure in comparison["measures"] if measure["name"] == "accuracy")
    of_folds = [
        read_json(desk / f"runs/colours.fold-{number}/1/evaluation/verdict.json")["targets"][0]["value"]
        for number in FOLDS
    ]
    assert accuracy["folds"]["tuned"]["values"] == of_folds
    target = read_json(desk / "runs/colours/1/evaluation/verdict.json")["targets"][0]
    assert target["value"] == pytest.approx(sum(of_folds) / 2) and "mean of 2 folds" in target["why"]
    page = (desk / "runs/colours/1/report.html").read_text("utf-8")
    assert "fold by fold" in page and "each by a fold that did not learn it" in page
    assert "model that ships learned from all of them" in (desk / "runs/colours/1/card.md").read_text("utf-8")


def test_another_bound_is_another_run_whose_folds_take_over_what_was_trained(desk):
    tunesmith("run", "colours.yaml", "goal.targets.0.at_least=0.2", "--quiet", cwd=desk)
    for number in FOLDS:
        events = (desk / f"runs/colours.fold-{number}/2/events.jsonl").read_text("utf-8")
        assert '"borrowed"' in events and '"step"' not in events
    assert sorted(path.name for path in (desk / "runs/colours").iterdir()) == ["1", "2"]


def test_a_check_shows_a_split_without_rows(desk):
    checked = tunesmith("check", "colours.yaml", cwd=desk)
    assert checked.returncode == 0 and "test" in checked.stdout, checked.stderr


def test_a_plan_counts_every_training(desk):
    money = ("scale.price=36 USD/h", "scale.budget=1 h")
    planned = json.loads(tunesmith("plan", "colours.yaml", *money, "--json", cwd=desk).stdout)
    assert planned["folds"] == 2 and planned["outlay"]["within"]
    assert planned["outlay"]["usd"] == pytest.approx(planned["seconds"] / 100)
    assert planned["seconds"] == pytest.approx(2 * sum(stage["seconds"] for stage in planned["stages"]))


def test_the_first_ctrl_c_ends_the_data_preparation_of_a_fold(desk, tmp_path):
    heard = []

    def press(event):
        heard.append(str(event.get("what", event.get("text", ""))))
        if heard[-1].startswith("fold 1: step") and sum(said.startswith("fold 1: step") for said in heard) == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="while data were prepared"):
        run(next(desk.glob("*.yaml")), [], tmp_path, listen=press)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["colours"]
