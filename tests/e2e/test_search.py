"""`tunesmith search` on a small job: what it leaves, that it never sees the test rows, and that it goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.desk import make_desk, tunesmith
from tunesmith.data.disk.tables import read_records
from tunesmith.errors import Interrupted, NotFound, SpecError
from tunesmith.flow.look import study_rows
from tunesmith.flow.run import run
from tunesmith.flow.search import search, write_trial
from tunesmith.models.layers.kept import Kept
from tunesmith.runs import read_json
from tunesmith.search.study import Study, best
from tunesmith.spec.load import load
from tunesmith.vault.keys import new_key

SEARCH = """\
search:
  vary:
    train.optimizer.lr: {low: 1e-4, high: 1e-2, log: true}
    train.batch: [8 rows, 16, 32 rows]
  sampler: random
  pruner: asha
  trials: 3
  together: 1
  looks: 3
  reduction: 2
  seed: 3
"""
SMOOTHED = "search.vary={train.objective.label_smoothing: [0.1, 0.2]}"
LOSS = ("search.aims=[loss]",)
QUICK = ("train.duration=1 epoch",)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    spec = make_desk(folder, duration="2 epochs")
    spec.write_text(spec.read_text() + SEARCH)
    return folder


@pytest.fixture(scope="module")
def found(desk: Path):
    return search(desk / "colours.yaml", (), desk)


def timeless(study: Study) -> list[dict]:
    return [replace(trial, seconds=0.0).to_json() for trial in study.trials]


def test_a_study_leaves_everything_it_promises(found, desk: Path) -> None:
    assert found.path == desk / "studies" / "colours" / "1" and not found.already
    for name in ("spec.yaml", "spec.json", "study.json", "environment.json", "winner.yaml", "report.html"):
        assert (found.path / name).stat().st_size > 0, name
    assert [trial.number for trial in found.study.trials] == [0, 1, 2]
    assert found.study.aims[0].name == "accuracy" and found.study.pruner == "asha"
    for trial in found.study.trials:
        folder = found.path / "trials" / f"{trial.number:04}"
        kept = {path.name for path in folder.iterdir() if path.name != ".lock"}
        assert kept == {"trial.json", "looks.json", "events.jsonl"}
    json.dumps(found.to_json(), allow_nan=False)


def test_it_is_listed(found, desk: Path) -> None:
    (row,) = study_rows("colours", desk)
    chosen = best(found.study)
    assert chosen and row["study"] == "colours/1" and row["trials"] == row["wanted"] == 3
    assert row["best"] == {"trial": chosen.number, "value": chosen.values[0], "params": chosen.params}
    said = tunesmith("ls", "--studies", cwd=desk).stdout
    assert "colours/1" in said and "3 of 3" in said and f"(trial {chosen.number})" in said
    assert "no searches here yet" in tunesmith("ls", "--studies", "nobody", cwd=desk).stdout


def test_the_first_trial_is_the_spec_as_it_is(found) -> None:
    first = found.study.trials[0]
    assert first.params == {"train.optimizer.lr": 0.003, "train.batch": 16} and first.state == "done"
    # 120 rows in 8 steps an epoch, for 2 epochs, looked at three times.
    assert [step for step, _ in first.course] == [6, 12, 16]
    assert first.values[0] == max(score for _, score in first.course)


def test_the_test_rows_are_never_seen(found, desk: Path) -> None:
    whole = run(desk / "colours.yaml", QUICK, desk, until="train").run
    tested = {record.id for record in read_records(whole / "data" / "test.parquet")}
    assert tested and sorted(path.name for path in (found.path / "data").iterdir()) == [
        "train.parquet",
        "validation.parquet",
    ]
    for name in ("train", "validation"):
        held = {record.id for record in read_records(found.path / "data" / f"{name}.parquet")}
        assert held and not held & tested
        assert held == {record.id for record in read_records(whole / "data" / f"{name}.parquet")}
    from tunesmith.flow.search.bench import Bench

    bench = Bench.open(whole.__class__(found.path), desk / "colours.yaml", desk)
    assert set(bench.job.splits) == {"train", "validation"}


def test_the_same_command_does_nothing_again_and_more_trials_go_on(found, desk: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in found.path.rglob("trial.json")}
    again = search(desk / "colours.yaml", (), desk)
    assert again.already and again.study == found.study
    more = search(desk / "colours.yaml", ("search.trials=4",), desk)
    assert more.path == found.path and len(more.study.trials) == 4 and more.study.trials[:3] == found.study.trials
    assert {path: path.stat().st_mtime_ns for path in before} == before
    other = load(desk / "colours.yaml", ("search.seed=4",))[0]
    assert other.search.seed == 4


def test_the_winner_is_a_spec_that_runs_as_it_is_and_comes_to_the_same(found, desk: Path) -> None:
    chosen = max(found.study.done, key=lambda trial: (trial.values[0], -trial.number))
    text = found.winner.read_text()
    assert text.startswith("# Found by `tunesmith search`, study colours/1.")
    assert f"# trial {chosen.number} of 3" in text or f"# trial {chosen.number} of 4" in text
    spec, written = load(found.winner)
    assert written.folder.resolve() == desk.resolve() and spec.data.sources[0].path == "rows.jsonl"
    assert float(spec.train[0].optimizer.lr) == chosen.params["train.optimizer.lr"]
    made = run(found.winner, (), desk, until="train").run
    figures = [
        event
        for event in map(json.loads, (made / "events.jsonl").read_text().splitlines())
        if event["kind"] == "validation"
    ]
    assert [event["step"] for event in figures] == [step for step, _ in chosen.course]
    assert [event["figures"]["accuracy"] for event in figures] == [score for _, score in chosen.course]


def test_any_finished_trial_can_be_written(found, desk: Path) -> None:
    done = next(trial for trial in found.study.done)
    path = write_trial(desk / "colours.yaml", (), desk, done.number)
    spec, _ = load(path)
    assert float(spec.train[0].optimizer.lr) == done.params["train.optimizer.lr"]
    with pytest.raises(NotFound, match="no trial 99 was trained to its end"):
        write_trial(desk / "colours.yaml", (), desk, 99)
    with pytest.raises(NotFound, match="was not searched yet"):
        write_trial(desk / "colours.yaml", ("train.seed=5",), desk, 0)


def test_what_a_spec_extends_lies_beside_its_winner(desk: Path) -> None:
    (desk / "shared.yaml").write_text("scale: {batch: 7}\n")
    text = (desk / "colours.yaml").read_text().replace("name: colours", "name: own")
    (desk / "own.yaml").write_text(f"extends: shared.yaml\n{text}")
    made = search(desk / "own.yaml", (*QUICK, "search.trials=1"), desk)
    assert made.winner is not None
    spec, _ = load(made.winner)
    assert spec.scale.batch == 7 and (made.path / "shared.yaml").read_text() == "scale: {batch: 7}\n"


@pytest.mark.parametrize("stopped", [False, True])
def test_frozen_layers_are_computed_for_one_trial_alone(
    desk: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    """And not again by a process that goes on."""
    kept: list[int] = []
    read_in: list[int] = []
    after_first: list[int] = []
    put, read = Kept._put, Kept.read
    monkeypatch.setattr(Kept, "_put", lambda self, *values: (kept.append(1), put(self, *values))[1])
    monkeypatch.setattr(Kept, "read", lambda self, path: (read_in.append(1), read(self, path))[1])

    def listen(event: dict) -> None:
        if str(event.get("text")).startswith("trial 0 done"):
            after_first.append(len(kept))
            if stopped:
                os.kill(os.getpid(), signal.SIGINT)

    vary = "search.vary={train.optimizer.lr: [1e-3, 3e-3]}"
    asked = (f"name=frozen-{stopped}", "train.freeze.layers=1", vary, "search.pruner=none", "search.reduction=null")
    if stopped:
        with pytest.raises(Interrupted):
            search(desk / "colours.yaml", (*asked, "search.trials=2"), desk, listen=listen)
    found = search(desk / "colours.yaml", (*asked, "search.trials=2"), desk, listen=listen)
    assert len(found.study.done) == 2 and kept
    assert len(read_in) == (2 if stopped else 0) and after_first == [len(kept) - len(read_in)]
    assert not (found.path / "trunk").exists()


def test_of_encrypted_rows_nothing_is_laid_out(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_KEY", new_key())
    seen: list[str] = []

    def listen(event: dict) -> None:
        if str(event.get("text")).startswith("trial 0 done"):
            seen.extend(path.name for path in (desk / "studies" / "sealed" / "1").rglob("*"))

    asked = ("name=sealed", "data.encrypt=true", "train.freeze.layers=1", "search.trials=1")
    search(desk / "colours.yaml", asked, desk, listen=listen)
    assert "trial.json" in seen and "trunk" not in seen


def test_a_stopped_search_goes_on_to_the_same(found, desk: Path) -> None:
    """A stop in the middle of a trial: what it has learned is kept, and nothing else differs."""
    asked = ("name=stopped",)

    def listen(event: dict) -> None:
        if event["kind"] == "note" and event["text"].startswith("trial 0 done"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        search(desk / "colours.yaml", asked, desk, listen=listen)
    assert not (desk / "studies/stopped/1/winner.yaml").exists()
    again = search(desk / "colours.yaml", asked, desk)
    assert timeless(again.study) == timeless(found.study)


def test_several_aims_have_a_front(desk: Path) -> None:
    changes = (
        "name=several", "search.aims=[accuracy, size, latency]", "search.pruner=none", "search.reduction=null",
        "search.trials=2", *QUICK,
    )  # fmt: skip
    found = search(desk / "colours.yaml", changes, desk)
    assert [aim.unit for aim in found.study.aims] == ["", "MB", "ms"]
    for trial in found.study.done:
        assert len(trial.values) == 3 and 0.05 < trial.values[1] < 5 and trial.values[2] > 0
    assert set(found.to_json()["front"]) <= {0, 1} and found.to_json()["front"]


def test_all_that_is_wrong_is_said_at_once_with_its_line(desk: Path) -> None:
    path = desk / "wrong.yaml"
    head = (desk / "colours.yaml").read_text().partition("search:")[0]
    path.write_text(
        head
        + """\
search:
  sampler: grid
  vary:
    train.optimizer.lr: {low: -1, high: 1e-2}
    train.optimiser.lr: [1, 2]
    train.batch: [8, none]
    data.split.seed: [1, 2]
    evaluate.metrics: [[accuracy], [mcc]]
    train.seed: [1, 2]
    train.watch: [[], [diagnose]]
    goal.task: [classify, chat]
    base.model: [bundled, ./base]
    train.adapter.rank: [4, 8]
    train.adapter: [lora, full]
    data.steps: [[clean], [exact_dedup]]
""",
        "utf-8",
    )
    with pytest.raises(SpecError) as error:
        search(path, (), desk)
    said = [str(problem) for problem in error.value.problems]
    lines = head.count("\n")
    wanted = {
        4: "must be above 0", 5: "no field 'optimiser' (did you mean 'optimizer'?)", 6: "'none' is not a quantity",
        7: "compared on the same validation rows", 8: "what trials are compared by", 9: "luckiest of equal trainings",
        10: "when trials are measured", 11: "what trials are compared by", 12: "tunesmith plan SPEC --bases",
        14: "train.adapter.rank is varied too", 15: "prepared once",
    }  # fmt: skip
    for line, what in wanted.items():
        assert any(text.startswith(f"wrong.yaml:{lines + line} ") and what in text for text in said), (line, said)
    assert len(said) == len(wanted)
    assert not (desk / "studies" / "wrong").exists()


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        (["search.sampler=grid"], "a grid over a range needs a step"),
        (["search.aims=[bleu]"], "'bleu' is not measured on validation rows while training; loss, accuracy, f1_macro"),
        (["search.aims=[size]", "search.pruner=none", "search.reduction=null"], "name quality first"),
        (["train.validate_every=4 steps"], "train.validate_every says it already: 4 steps"),
        (["train.objective=classify", SMOOTHED, *LOSS], "changes the loss itself"),
        (["search.vary={data.max_length: [32, 64]}", "data.too_long=drop"], "keeps other rows"),
        (["search.vary={data.max_length: [32, 999999]}"], "more than the base can read"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_before_anything_is_trained(desk: Path, changes, wrong: str) -> None:
    with pytest.raises(SpecError, match=wrong.replace("(", r"\(")):
        search(desk / "colours.yaml", [*changes, "name=refused"], desk)
    assert not (desk / "studies" / "refused").exists()


@pytest.mark.slow
def test_two_processes_and_a_ray_cluster_find_what_one_process_does(found, desk: Path) -> None:
    pytest.importorskip("ray")
    asked = ("search.trials=5", "search.together=2")
    one = search(desk / "colours.yaml", (*asked, "name=one"), desk)
    two = search(desk / "colours.yaml", (*asked, "name=two", "scale.jobs=2"), desk)
    ray = search(desk / "colours.yaml", (*asked, "name=ray", "scale.jobs=2", "scale.cluster=local"), desk)
    assert timeless(one.study) == timeless(two.study) == timeless(ray.study)


@pytest.mark.slow
def test_a_search_whose_processes_are_killed_ten_times_comes_to_the_same(found, desk: Path) -> None:
    """Real trainings in real processes, which are killed in the middle of their work."""
    asked = ("search.trials=6", "search.together=2", "scale.jobs=2")
    whole = search(desk / "colours.yaml", (*asked, "name=whole"), desk)
    kills = []

    def listen(event: dict) -> None:
        import psutil

        alive = [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]
        children = [c for c in alive if "tunesmith.scale.worker" in " ".join(c.cmdline())]
        looks = list((desk / "studies/killed/1/trials").glob("*/looks.json"))
        due = event["kind"] == "progress" and event["what"] == "trials" and len(looks) > len(kills) // 2
        if due and children and len(kills) < 10:
            children[0].send_signal(signal.SIGKILL)
            kills.append(children[0].pid)

    killed = search(desk / "colours.yaml", (*asked, "name=killed"), desk, listen=listen)
    assert len(kills) == 10 and timeless(killed.study) == timeless(whole.study)


def test_the_folder_of_a_study_can_be_read_by_hand(found) -> None:
    said = read_json(found.path / "study.json")
    assert said["rules"]["looks"] == 3 and said["first"]["train.batch"] == 16
    shutil.rmtree(found.path / "trials" / "nothing", ignore_errors=True)
