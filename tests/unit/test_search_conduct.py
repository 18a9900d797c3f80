"""A study from its first trial to its last, whoever does it and however often it is broken off."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from tests.unit.search_fake import LR, Told, asked, conducted, job, timeless, training

from tunesmith.errors import DataError, Interrupted
from tunesmith.runs import read_json, write_json
from tunesmith.scale.pool import Here, Processes
from tunesmith.search.conduct import Conductor, Look, Shelf, carry
from tunesmith.search.importance import importance
from tunesmith.search.study import Study, Trial

SEARCH = asked(sampler="tpe", startup=3, together=2, trials=10)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return timeless(conducted(SEARCH, tmp_path_factory.mktemp("whole")))


def test_every_trial_comes_to_something(unbroken: Study) -> None:
    assert [trial.number for trial in unbroken.trials] == list(range(10))
    states = {trial.state for trial in unbroken.trials}
    assert states <= {"done", "pruned", "failed"} and {"done", "pruned"} <= states
    for trial in unbroken.trials:
        assert trial.tokens == (trial.course[-1][0] * 100 if trial.course else 0)
        assert len(trial.values) == (0 if trial.state == "failed" else 1)
        assert bool(trial.said) == (trial.state != "done")


def test_two_processes_find_what_one_does(unbroken: Study, tmp_path: Path) -> None:
    with Processes([{}, {}]) as pool:
        assert timeless(conducted(SEARCH, tmp_path, pool, pause=0.001)) == unbroken


def test_a_search_killed_ten_times_loses_no_trial_and_repeats_none(unbroken: Study, tmp_path: Path) -> None:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["optuna", "scipy.stats.qmc", "tests.unit.search_fake"])
    whole = sum(len(trial.course) for trial in unbroken.trials)
    for goal in (*sorted(random.Random(3).sample(range(1, whole - 2), 10)), None):
        child = forks.Process(target=conducted, args=(SEARCH, tmp_path, None, 0.004))
        child.start()
        while goal is not None and looks_taken(tmp_path) < goal:
            assert child.is_alive(), "it ended before it could be killed so often"
            time.sleep(0.001)
        if goal is not None:
            os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert child.exitcode == (0 if goal is None else -signal.SIGKILL)
    assert timeless(conducted(SEARCH, tmp_path)) == unbroken
    stray = [path for path in (tmp_path / "trials").rglob("*") if path.is_dir() and path.name == "checkpoints"]
    assert not stray, "nothing is kept of what has ended"


def looks_taken(folder: Path) -> int:
    shelf = Shelf(folder)
    begun = (Trial(number, {}, "", "running") for number in range(SEARCH.study.wanted))
    return sum(len((shelf.trial(trial.number) or shelf.looks(trial)).course) for trial in begun)


def test_a_killed_process_of_a_trial_is_told_and_its_trial_goes_on(unbroken: Study, tmp_path: Path) -> None:
    said: list[str] = []
    with Processes([{}, {}]) as pool:

        def told(study: Study, trial: Trial | None, text: str) -> None:
            said.extend([text] if text else [])
            worker = pool._workers[0]
            looks = [len(t.course) for t in study.trials if t.state == "running"]
            if not said and worker is not None and any(looks):
                worker.process.send_signal(signal.SIGKILL)

        study = conducted(SEARCH, tmp_path, pool, 0.01, told)
    assert timeless(study) == unbroken
    assert any("was killed (SIGKILL); the trial goes on in another" in text for text in said)


def test_a_process_that_is_always_killed_ends_its_trial_alone(tmp_path: Path) -> None:
    with Processes([{}]) as pool:
        study = _conducted_by(die, pool, tmp_path)
    assert study.trials[0].state == "done"
    assert study.trials[1].state == "failed"
    assert study.trials[1].said == "its process was killed (SIGKILL), 5 times in a row"


def die(told: Told) -> None:
    if told.trial.number:
        os.kill(os.getpid(), signal.SIGKILL)
    job(told)


def _conducted_by(function, pool, folder: Path) -> Study:
    search = asked(trials=2, together=1)
    given = lambda trial: Told(search, folder, trial, 0.0, os.getpid())  # noqa: E731
    return Conductor(
        search, Shelf(folder), pool, function, given, lambda *_: None, lambda: False, lambda: None
    ).conduct()


def test_a_broken_off_search_goes_on_where_it_stopped(unbroken: Study, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    conducted(asked(sampler="tpe", startup=3, together=2, trials=4), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("trial.json")}
    assert timeless(conducted(SEARCH, tmp_path)) == unbroken, "more trials are the same search, gone on with"
    assert all(path.stat().st_mtime_ns == at for path, at in before.items()), "none was done again"


def test_a_trial_goes_on_from_what_it_has_kept(tmp_path: Path) -> None:
    begun = Trial(1, {LR.path: 2e-3}, "", "running")
    whole = carry(SEARCH, begun, [], Shelf(tmp_path / "whole"), training(begun.params, tmp_path / "w"))
    shelf, steps = Shelf(tmp_path / "again"), []

    def stop() -> bool:
        steps.append(1)
        return len(steps) == 38

    def carried() -> Trial:
        return carry(SEARCH, begun, [], shelf, training(begun.params, shelf.of(1), stop=stop))

    with pytest.raises(Interrupted):
        carried()
    steps[:] = [1] * 100
    assert carried() == whole
    assert len(steps) == 100 + 90 - 35, "the last place kept was that of step 35"


def test_a_stop_is_asked_of_those_under_way_and_nothing_else_begins(tmp_path: Path) -> None:
    halted, begun = [], []

    def work(told: Told) -> None:
        begun.append(told.trial.number)
        if told.trial.number == 1:
            halted.append("asked")
            raise Interrupted("stopped")
        job(told)

    search = asked(trials=6, together=1)
    given = lambda trial: Told(search, tmp_path, trial, 0.0, os.getppid())  # noqa: E731
    with pytest.raises(Interrupted):
        Conductor(
            search, Shelf(tmp_path), Here(), work, given, lambda *_: None, lambda: bool(halted), lambda: None
        ).conduct()
    assert begun == [0, 1]
    assert Shelf(tmp_path).trial(0) is not None and Shelf(tmp_path).trial(1) is None


def test_what_only_this_training_cannot_is_failed_and_what_the_spec_cannot_is_an_error(tmp_path: Path) -> None:
    def broken(error: Exception, number: int) -> Trial:
        def steps():
            yield Look(10, 0.5, 0.0, 10)
            raise error

        return carry(asked(), Trial(number, {}, "", "running"), [], Shelf(tmp_path / str(number)), steps())

    assert broken(DataError("no", fix="yes"), 3).said == "no"
    with pytest.raises(DataError):
        broken(DataError("no", fix="yes"), 0)

    def nothing():
        yield Look(10, float("nan"), 0.0, 10)

    found = carry(asked(), Trial(4, {}, "", "running"), [], Shelf(tmp_path / "nan"), nothing())
    assert found.state == "failed" and "not a number" in found.said


def test_a_diverged_trial_is_failed_with_its_reason(tmp_path: Path) -> None:
    hot = asked(first={LR.path: 0.09, "train.adapter.rank": 8, "train.regularize.dropout": 0.0}, trials=3)
    study = conducted(hot, tmp_path)
    assert study.trials[0].state == "failed" and study.trials[0].said == "the loss of step 20 is not finite"
    assert study.trials[0].course == ((10, pytest.approx(0.3, abs=0.2)),)
    assert read_json(tmp_path / "trials/0000/trial.json")["state"] == "failed"


def test_importance_is_told_of_enough_trials_alone(tmp_path: Path) -> None:
    few = conducted(asked(trials=5, pruner="none"), tmp_path / "few")
    assert importance(few) == "5 trials were trained to their end; what mattered can be told from 12 on"
    many = conducted(asked(trials=24, pruner="none", sampler="random"), tmp_path / "many")
    found = importance(many)
    assert next(iter(found)) == LR.path, "what the formula makes most of"
    assert all(low <= mean <= high for mean, low, high in found.values())
    assert found[LR.path][0] > 0.5


def test_nothing_of_a_trial_is_half_written(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    trial = Trial(0, {"a": 1}, "x", "running", course=((1, 0.5),), tokens=7)
    shelf.note(trial)
    write_json(shelf.of(0) / "best.json", {})
    assert shelf.looks(Trial(0, {"a": 1}, "x", "running")) == trial and shelf.trial(0) is None
    shelf.finish(trial)
    assert sorted(path.name for path in shelf.of(0).iterdir()) == ["looks.json", "trial.json"]
