"""MLflow: a server, or a SQLite file."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from tunesmith.errors import UserError
from tunesmith.runs import Run
from tunesmith.trackers import Facts, Row, Told, Tracker

T = TypeVar("T")

TAG = "tunesmith.id"
"""By which a run that was sent before is found again."""
LONGEST = 5000
"""Characters of a tag or parameter; MLflow refuses more than 8,000 and 6,000."""
METRICS_AT_ONCE, OTHERS_AT_ONCE = 1000, 100
"""What MLflow takes in one call."""


class MLflow(Tracker):
    """MLflow, by default in the file `tracked/mlflow.db`; look at it with `mlflow ui --backend-store-uri`."""

    needs: ClassVar[str] = "mlflow"
    extra: ClassVar[str] = "mlflow"

    uri: str | None = Field(default=None, pattern=r"^(https?|sqlite|postgresql|mysql|mssql)(\+\w+)?:", max_length=500)
    """The tracking server or database, `http://host:5000`; when left out, a SQLite file in the folder."""
    experiment: str | None = Field(default=None, min_length=1, max_length=250)
    """The experiment runs are filed under; when left out, the name of the spec."""

    def open(self, run: Run, folder: Path) -> MLflowRun:
        uri = self.uri
        if uri is None:
            folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{folder / 'mlflow.db'}"
        return MLflowRun(uri, self.experiment or run.name, Told(run).facts(), folder / "mlflow")


class MLflowRun:
    """One run of MLflow, found again by its tag. A point whose name and step are there is left out."""

    def __init__(self, uri: str, experiment: str, facts: Facts, artifacts: Path) -> None:
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)  # it tells of every table it makes
        self.where = f"{uri}, experiment {experiment}"
        self._client: Any = MlflowClient(tracking_uri=uri)
        self._there: dict[str, set[int]] = {}
        held = self._client.get_experiment_by_name(experiment)
        if held is not None and held.lifecycle_stage != "active":
            raise UserError(
                f"the experiment {experiment!r} was deleted",
                where=uri,
                fix="restore it, or name another: experiment=...",
            )
        # Where files of models would go; without a place named, SQLite means `mlruns` in the current folder.
        place: dict[str, Any] = {"artifact_location": artifacts.as_uri()} if uri.startswith("sqlite") else {}
        number = held.experiment_id if held else self._client.create_experiment(experiment, **place)
        found = self._client.search_runs([number], filter_string=f"tags.`{TAG}` = '{facts.id}'", max_results=1)
        self.id: str = (
            found[0].info.run_id
            if found
            else self._client.create_run(
                number, run_name=facts.name, start_time=round(facts.began * 1000), tags={TAG: facts.id}
            ).info.run_id
        )

    def points(self, rows: Sequence[Row]) -> None:
        from mlflow.entities import Metric

        new = [
            Metric(metric_name(name), value, round(row.at * 1000), row.step)
            for row in rows
            for name, value in row.values.items()
            if self._is_new(metric_name(name), row.step)
        ]
        for some in _slices(new, METRICS_AT_ONCE):
            self._client.log_batch(self.id, metrics=some)

    def _is_new(self, name: str, step: int) -> bool:
        """Whether there is no such point; notes that there is one now."""
        if name not in self._there:
            self._there[name] = {point.step for point in self._client.get_metric_history(self.id, name)}
        new = step not in self._there[name]
        self._there[name].add(step)
        return new

    def facts(self, facts: Facts) -> None:
        from mlflow.entities import Param, RunTag

        held = self._client.get_run(self.id).data
        params = {name: str(value)[:LONGEST] for name, value in facts.parameters.items()}
        for some in _slices([Param(k, v) for k, v in params.items() if k not in held.params], OTHERS_AT_ONCE):
            self._client.log_batch(self.id, params=some)
        for tags in _slices([RunTag(k, v[:LONGEST]) for k, v in facts.tags.items()], OTHERS_AT_ONCE):
            self._client.log_batch(self.id, tags=tags)
        at = facts.ended or facts.began
        final = Row(0, "test", 0, at, facts.finals)
        self.points([final])
        if facts.ended is not None:
            self._client.set_terminated(self.id, "FINISHED", round(facts.ended * 1000))

    def close(self) -> None:
        """Nothing waits: every call to MLflow has been answered."""


def metric_name(name: str) -> str:
    """A figure's name in the letters MLflow allows: `f1(label=spam)` is `f1 label:spam`."""
    return re.sub(r"[^\w\-. :/]", "_", name.replace("(", " ").replace(")", "").replace("=", ":"), flags=re.ASCII)


def _slices(items: list[T], size: int) -> Iterator[list[T]]:
    yield from (items[start : start + size] for start in range(0, len(items), size))
