"""Judges and abilities through a whole run: what is written, what decides, what is refused before training."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner, Result

from tests.e2e.desk import write_rows
from tunesmith.cli.app import app
from tunesmith.errors import NotFound, SpecError
from tunesmith.evaluate.predict.stored import read_predictions
from tunesmith.evaluate.review import stored
from tunesmith.evaluate.suites.forgetting import Forgetting
from tunesmith.flow.data.check import check
from tunesmith.flow.review import Desk, new_review
from tunesmith.flow.review.verdict import review_results
from tunesmith.flow.run import Outcome, run
from tunesmith.runs import read_json
from tunesmith.testing.tiny import tiny_model

SPEC = """\
name: sums
goal:
  task: answer
  targets:
    - {metric: {kind: retention, ability: own}, at_least: 0.2}
    - {metric: {kind: judged, judge: rubric, criterion: helpful}, at_least: 0.3}
data: {sources: [rows.jsonl], split: {train: 0.6, validation: 0.1, test: 0.3}}
base: {model: ./tiny}
train: {duration: 2 steps, batch: 4 rows, watch: []}
evaluate:
  max_new_tokens: 4
  resamples: 200
  retention: {sources: [grammar, ./own.jsonl], max_rows: 6}
  judges:
    - {model: "%s", human: human.jsonl}
    - {kind: pairwise, model: "%s", against: expected}
"""


class _Judge(BaseHTTPRequestHandler):
    """Rates by how often an answer says four, or by the number that is asked about; prefers whatever is shown first."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"][0]["content"]
        number = re.search(r"comes after (\d+)", asked)
        told = asked.count("four") if number is None or "criterion only: orderly" not in asked else int(number[1])
        said = "Better: first" if "<<first " in asked else f"Reason.\nRating: {1 + told % 5}"
        reply = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *said: object) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Judge)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1#judge"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def desk(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measuring")
    tiny_model(folder / "tiny")
    asked = [{"question": f"What comes after {n}?", "answer": str(n + 1)} for n in range(40)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (folder / "own.jsonl").write_text(
        "".join(json.dumps({"text": f"My card {n} has not arrived."}) + "\n" for n in range(8))
    )
    rated = [{"question": "q", "answer": f"{n} " + "four " * (n % 5), "helpful": 1 + n % 5} for n in range(20)]
    (folder / "human.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rated))
    (folder / "sums.yaml").write_text(SPEC % (endpoint, endpoint))
    return folder


@pytest.fixture(scope="module")
def outcome(desk: Path) -> Outcome:
    return run(desk / "sums.yaml", workspace=desk)


def test_a_run_writes_what_judges_said_and_what_was_kept(outcome: Outcome) -> None:
    helpful, better = read_json(outcome.run / "evaluation/judges.json")
    assert helpful["agreement"]["kappa"] == pytest.approx(1.0) and helpful["agreement"]["num_rows"] == 20
    assert not helpful["doubt"] and set(helpful["arms"]) == {"base", "tuned"}
    assert better["first_shown"]["value"] == 1.0 and set(better["arms"]) == {"tuned"}
    assert better["arms"]["tuned"]["value"] == 0.5 and "never held against people" in better["doubt"]
    rows = read_predictions(outcome.run / "evaluation/predictions-tuned.parquet")
    assert all({"judge.rubric.helpful", "judge.pairwise.helpful"} <= row.measured.keys() for row in rows)
    kept = Forgetting.from_json(read_json(outcome.run / "evaluation/retention.json"))
    assert [found.ability for found in kept.abilities] == ["grammar", "own", None]
    assert [found.num_rows for found in kept.abilities] == [6, 6, 6]  # a tiny model only guesses at grammar
    assert len(read_predictions(outcome.run / "evaluation/retention.parquet")) == 12


def test_the_verdict_rests_on_them(outcome: Outcome) -> None:
    assert outcome.verdict is not None
    retention, judged = outcome.verdict.targets
    assert retention.num_rows == 6 and retention.outcome == "met" and "retention(ability=own)" in retention.title
    assert judged.outcome == "missed" and judged.value == 0.0  # no answer of the tiny model says four


def test_the_report_shows_both(outcome: Outcome) -> None:
    page = (outcome.run / "report.html").read_text()
    assert "What was forgotten" in page and "What judges said" in page
    assert "kappa 1.000" in page and "shown first preferred 100%" in page and "never held against people" in page


def test_other_ratings_are_evaluated_anew_and_trained_no_more(desk: Path, outcome: Outcome) -> None:
    before = (desk / "human.jsonl").read_text()
    try:
        (desk / "human.jsonl").write_text("".join(before.splitlines(keepends=True)[:5]))
        again = run(desk / "sums.yaml", workspace=desk)
    finally:
        (desk / "human.jsonl").write_text(before)
    assert again.run.path != outcome.run.path and again.verdict is not None
    judged = again.verdict.targets[1]
    assert judged.outcome == "undecided" and "10 are the least" in judged.why
    assert '"borrowed"' in (again.run / "events.jsonl").read_text() and not (again.run / "checkpoints").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["goal.targets.1.metric={kind: judged, judge: rubrik, criterion: helpful}"], "no judge 'rubrik'.*'rubric'"),
        (["goal.targets.1.metric={kind: judged, judge: rubric, criterion: kind}"], "no criterion 'kind'.*helpful"),
        (["goal.targets.0.metric={kind: retention, ability: grammer}"], "no ability 'grammer'.*'grammar'"),
        (["evaluate.judges.1.against=tuned"], "no arm 'tuned'"),
        (["goal.targets.0.slice={question: a}"], "no columns of the data"),
        (
            ["goal.targets.1.metric={kind: judged, judge: pairwise, criterion: helpful}", "goal.targets.1.over=base"],
            "pairwise compares answers already",
        ),
    ],
)
def test_what_names_nothing_is_refused_before_training(changes: list[str], says: str, desk: Path) -> None:
    with pytest.raises(SpecError, match=says):
        check(desk / "sums.yaml", changes, desk)


def test_a_classifier_keeps_no_abilities_and_writes_no_answers(desk: Path, endpoint: str) -> None:
    write_rows(desk / "labels.jsonl", 60)
    (desk / "labels.yaml").write_text(
        "name: labels\ngoal: {task: classify, targets: [{metric: retention, at_least: 0.9}]}\n"
        "data: {sources: [labels.jsonl]}\nbase: {model: ./tiny}\ntrain: {objective: classify}\n"
        f"evaluate: {{judges: [{{model: '{endpoint}'}}]}}\n"
    )
    with pytest.raises(SpecError) as caught:
        check(desk / "labels.yaml", [], desk)
    assert "classify head answers nothing" in str(caught.value) and "reads written answers" in str(caught.value)


def test_what_is_not_there_is_named(desk: Path) -> None:
    with pytest.raises(NotFound, match="no file of ratings"):
        check(desk / "sums.yaml", ["evaluate.judges.0.human=none.jsonl"], desk)
    with pytest.raises(NotFound, match=r"no suite '\./none'"):
        check(desk / "sums.yaml", ["evaluate.retention.sources=[./none]"], desk)


def test_a_model_that_forgot_does_not_ship(desk: Path) -> None:
    wild = ["train.duration=25 steps", "train.optimizer.lr=0.03", "train.schedule.warmup=0%", "evaluate.judges=[]"]
    wanted = ["goal.targets=[{metric: {kind: retention, ability: own}, at_least: 0.8}]", "evaluate.arms=[base, tuned]"]
    made = run(desk / "sums.yaml", [*wild, *wanted], desk)
    assert made.verdict is not None and made.verdict.decision == "DON'T SHIP" and made.exit_code == 3
    (target,) = made.verdict.targets
    assert target.outcome == "missed" and target.value is not None and target.value < 0.5
    assert "retention(ability=own)" in made.verdict.reason
    page = (made.run / "report.html").read_text()
    assert "Clearly less than before" in page and "own" in page


REVIEW = "criteria: [{name: orderly, question: Is it orderly?}, {name: helpful, kind: preference, question: Better?}]"
JUDGES = [
    "evaluate.judges=[{model: '%s', criteria: {orderly: It keeps the order.}}, {kind: pairwise, model: '%s'}]",
    "goal.targets=[{metric: {kind: judged, judge: rubric, criterion: orderly}, at_least: 0.1}, "
    "{metric: {kind: judged, judge: pairwise, criterion: helpful}, at_least: 0.1}]",
    "evaluate.retention=null",
    "data.split={train: 0.2, validation: 0.1, test: 0.7}",
]


@pytest.mark.parametrize("agree", [True, False])
def test_people_who_rate_the_run_settle_what_a_judge_may_decide(desk: Path, endpoint: str, agree: bool) -> None:
    changes = [change.replace("%s", endpoint) for change in JUDGES] + [f"name=people-{agree}".lower()]
    made = run(desk / "sums.yaml", changes, desk)
    assert made.verdict is not None and [one.outcome for one in made.verdict.targets] == ["undecided"] * 2
    assert "tunesmith review new" in made.verdict.targets[0].why
    (desk / "rubric.yaml").write_text(REVIEW)
    new_review(str(made.run), desk / "rubric.yaml", desk, raters=["Ann"], items=40, arms=["base", "tuned"])
    with Desk(str(made.run), desk) as opened:
        for number, item in opened.filled().items.items():
            said = str(1 + int(re.findall(r"comes after (\d+)", json.dumps(item.shown))[0]) % 5)
            marks = {f"orderly-{letter}": said if agree else "3" if said == "5" else "4" for letter in "ab"}
            marks["helpful"] = "tie" if number % 4 else "A"
            stored.save(opened.opened, opened.review, stored.Answer(number, 1, marks, "", 1.0, 1))
        _, verdict = review_results(opened)
    assert verdict is not None
    orderly, better = verdict.targets
    kept = read_json(made.run / "evaluation/judges.json")
    assert kept[0]["agreement"]["num_rows"] == 2 * orderly.num_rows and kept[1]["agreement"]["num_rows"] > 10
    if agree:
        assert orderly.outcome == "met" and kept[0]["agreement"]["kappa"] == pytest.approx(1.0)
    else:
        assert orderly.outcome == "undecided" and "agrees with people by a kappa of" in orderly.why
    assert better.outcome == "undecided" and verdict.decision == "DON'T SHIP"
    assert ("kappa 1.000" in (made.run / "report.html").read_text()) == agree


def test_other_seeds_ask_no_judge_and_rows_that_were_trained_on_count_in_no_figure(desk: Path) -> None:
    copies = [{"question": f"WHAT COMES AFTER {n}?", "answer": str(n + 1)} for n in range(20)]
    (desk / "copies.jsonl").write_text("".join(json.dumps(row) + "\n" for row in copies))
    changes = [
        "data.sources=[rows.jsonl, {path: copies.jsonl, split: test}]",
        "data.split.leakage=ignore",
        "evaluate.seeds=2",
        "evaluate.metrics=[exact_match, {kind: judged, judge: pairwise, criterion: helpful}]",
        "evaluate.judges.1.against=base",
        "evaluate.retention=null",
        "goal.targets=[]",
    ]
    made = run(desk / "sums.yaml", changes, desk).run
    comparison = read_json(made / "evaluation/comparison.json")
    measures = {one["name"]: one for one in comparison["measures"]}
    judged = measures["judged(judge=pairwise, criterion=helpful)"]
    assert judged["seeds"] is None and measures["exact_match"]["seeds"] is not None
    assert judged["arms"]["base"]["num_rows"] == 0 and judged["arms"]["tuned"]["value"] == 0.5
    left_out = {leak["id"] for leak in read_json(made / "evaluation/contamination.json")["leaks"]}
    answered = len(read_predictions(made / "evaluation/predictions-tuned.parquet"))
    said = {criterion["judge"]: criterion["arms"]["tuned"] for criterion in read_json(made / "evaluation/judges.json")}
    assert left_out and answered - len(left_out) == comparison["num_rows"]
    assert [said[judge]["num_rows"] for judge in ("rubric", "pairwise")] == [comparison["num_rows"]] * 2


def test_suites_are_asked_from_the_command_line(desk: Path, outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["suite", *arguments])

    said = invoke(str(outcome.run), "grammar", "./own.jsonl", "--limit", "4", "--json")
    assert said.exit_code == 0, said.output
    grammar, own = json.loads(said.stdout)
    assert (grammar["suite"], grammar["num_rows"], grammar["chance"], own["suite"]) == ("grammar", 4, 0.5, "own")
    assert set(grammar["figures"]) == {"acc", "acc_norm"} and own["figures"]["perplexity"]["value"] > 1
    table = invoke("./tiny", "./own.jsonl", "--limit", "4", "--batch", "2", "--quiet").stdout
    assert "perplexity" in table and " 4 " in table
    refused = invoke("./tiny", "./own.jsonl", "--include", ".")
    assert refused.exit_code and "add --harness" in refused.output
    assert "no suite './none'" in invoke("./tiny", "./none").output
