"""The abilities of a run, before and after: `evaluation/retention.json` and its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tunesmith.evaluate.predict.stored import write_predictions
from tunesmith.evaluate.suites.ask import Answer
from tunesmith.evaluate.suites.forgetting import Asked, forgetting, retention_rows
from tunesmith.evaluate.suites.suite import Suite, read_suite
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.evaluation.kept import ask_kept
from tunesmith.flow.request import Request
from tunesmith.models.load import open_model
from tunesmith.models.model import Model
from tunesmith.records import Prediction
from tunesmith.runs import Run, write_json
from tunesmith.spec.sections import Spec

After = Callable[[str, int, int], None]
"""Told (what, done, total)."""


def suites_of(spec: Spec, folder: Path) -> list[Suite]:
    """The suites of `evaluate.retention`, read and checked.

    Raises:
        NotFound: there is no such suite.
        DataError: something in one cannot be used.
    """
    asked = spec.evaluate.retention
    return [read_suite(source, folder, asked.max_rows) for source in asked.sources] if asked else []


def measure_retention(run: Run, request: Request, job: Job, after: After) -> tuple[list[Prediction], dict[str, str]]:
    """Asks the base and the tuned model, and writes what became of each ability.

    Returns:
        The rows that the metric `retention` counts, and why some of its targets can rest on nothing; both empty where
        the spec asks for no retention, and in a fold, which is not the model that ships.
    """
    spec = job.spec
    suites = suites_of(spec, request.folder)
    if not suites or spec.data.split.fold is not None:
        return [], {}

    def base() -> Model:
        return open_model(
            request.base.reference,
            workspace=request.workspace,
            head="lm",
            revision=spec.base.revision,
            initialize=spec.base.initialize,
            seed=spec.train[0].seed,
        )

    def tuned() -> Model:
        return open_model(str((run / "model").resolve()), workspace=request.workspace)

    rows = retention_rows(
        suites, _asking(base, request, job, "base", after), _asking(tuned, request, job, "tuned", after)
    )
    settings = spec.evaluate
    found = forgetting(rows, confidence=settings.confidence, resamples=settings.resamples, seed=spec.data.split.seed)
    write_predictions(run / "evaluation" / "retention.parquet", rows)
    write_json(run / "evaluation" / "retention.json", found.to_json())
    return found.counted(rows), found.doubts()


def _asking(open_: Callable[[], Model], request: Request, job: Job, arm: str, after: After) -> Asked:
    opened: list[Model] = []

    def asked(suite: Suite) -> Sequence[Answer]:
        if not opened:
            opened.append(open_())
        return ask_kept(
            opened[0],
            suite,
            request.workspace,
            batch=job.spec.scale.batch,
            after=lambda done, total: after(f"retention ({arm}, {suite.name})", done, total),
        )

    return asked
