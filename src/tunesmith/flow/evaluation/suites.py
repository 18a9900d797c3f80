"""Suites asked of any model: of folders of the user's, or tasks of lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.errors import Interrupted
from tunesmith.evaluate.suites.measure import SuiteResult, measure
from tunesmith.evaluate.suites.suite import read_suite
from tunesmith.flow.environment import use_threads
from tunesmith.flow.evaluation.kept import ask_kept
from tunesmith.flow.interrupt import gentle_stop
from tunesmith.flow.narrator import Listener, Narrator, silent
from tunesmith.models.load import open_model
from tunesmith.runs import find_run, list_runs


def run_suites(
    model: str,
    suites: Sequence[str],
    workspace: Path = Path(),
    *,
    batch: int = 16,
    most: int | None = None,
    listen: Listener = silent,
) -> list[SuiteResult]:
    """Asks a model suites, one after the other. What was answered before is kept in the workspace and not asked again.

    Args:
        model: a run (`NAME/N` or `run:NAME/N`), a folder, `bundled` or a hub id.
        suites: names of built-in ones, folders, or JSONL files.
        workspace: the folder that holds `runs/`.
        batch: rows computed at once.
        most: only the first so many items of each.
        listen: gets every event as it happens.

    Raises:
        NotFound: there is no such suite or run.
        DataError: a suite cannot be used.
        ModelError: the model cannot be opened or cannot answer.
        Interrupted: somebody asked to stop; the same call goes on.
    """
    use_threads()
    narrator = Narrator(listen)
    read = [read_suite(source, most=most) for source in suites]
    opened = open_model(reference_of(model, workspace), workspace=workspace)
    results = []
    with gentle_stop() as stop:
        for suite in read:

            def told(done: int, total: int, name: str = suite.name) -> None:
                narrator.progressing(name, done, total)
                if stop():
                    raise Interrupted(f"stopped at {name}", fix="give the same command again to go on")

            answers = ask_kept(opened, suite, workspace, batch=batch, after=told)
            results.append(measure(suite, answers, model))
    return results


def run_harness(
    model: str,
    tasks: Sequence[str],
    workspace: Path = Path(),
    *,
    include: Path | None = None,
    network: bool = False,
    batch: int = 16,
    most: int | None = None,
    few_shot: int | None = None,
) -> dict[str, Any]:
    """Runs tasks of lm-evaluation-harness on a model; see `evaluate.suites.harness`."""
    from tunesmith.evaluate.suites.harness import run_tasks

    use_threads()
    opened = open_model(reference_of(model, workspace), workspace=workspace)
    return run_tasks(opened, tasks, include=include, network=network, batch=batch, most=most, few_shot=few_shot)


def reference_of(model: str, workspace: Path) -> str:
    """A run may be named as `tunesmith ls` lists it; the model it trained is meant."""
    name = model.partition("/")[0]
    if not (workspace / model).exists() and not Path(model).exists() and list_runs(workspace / "runs", name):
        return f"run:{find_run(workspace / 'runs', model)}"
    return model
