"""Two runs side by side, on the rows that both answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from tunesmith.data.encode.tokenize import Codec
from tunesmith.errors import DataError, NotFound, UserError
from tunesmith.evaluate.caveats.contamination import read_contamination
from tunesmith.evaluate.compare import carried, compare
from tunesmith.evaluate.comparison import Case, Comparison
from tunesmith.evaluate.mistakes.cases import regressions
from tunesmith.evaluate.mistakes.kinds import KINDS
from tunesmith.evaluate.predict.stored import read_predictions
from tunesmith.evaluate.verdict import Verdict
from tunesmith.metrics import Metric
from tunesmith.models.roles import OpenModels
from tunesmith.part import METRICS
from tunesmith.records import Prediction
from tunesmith.report.side import render_side
from tunesmith.runs import Run, find_run, fingerprint, read_json, write_text


@dataclass(frozen=True)
class Compared:
    """What two runs come to, the second held against the first."""

    comparison: Comparison
    verdicts: dict[str, Verdict | None]
    """By run: its own, on its own rows."""
    regressed: list[Case]
    """Every row that the second does worse, by the first metric."""
    left_out: dict[str, int]
    """By run: rows that the other did not answer."""
    changed: int
    """Rows of the same id that ask or expect something else."""
    trained_on: int
    """Rows left out as one of the two was trained on them."""
    unasked: list[str]
    """Metrics that could not be measured again, and why."""

    def said(self) -> list[str]:
        """Which rows the figures are of, and which figures are not there."""
        told = [f"{run} answered {count:,} more rows that the other did not" for run, count in self.left_out.items()]
        notes = [note for note, count in zip(told, self.left_out.values(), strict=True) if count]
        if self.changed:
            notes.append(f"{self.changed:,} rows have the same id and another content, and were left out")
        if self.trained_on:
            notes.append(f"{self.trained_on:,} rows that one of them was trained on were left out")
        return [*notes, *self.unasked]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "comparison": self.comparison.to_json(),
            "verdicts": {run: verdict and verdict.to_json() for run, verdict in self.verdicts.items()},
            "regressed": [asdict(case) for case in self.regressed],
            "left_out": self.left_out,
            "changed": self.changed,
            "trained_on": self.trained_on,
            "unasked": self.unasked,
        }


def compare_runs(first: str, second: str, workspace: Path = Path(), *, page: Path | None = None) -> Compared:
    """Holds the tuned model of the second run against that of the first, on the rows that both answered.

    Args:
        first: a run, `NAME` or `NAME/N`.
        second: another.
        workspace: the folder that holds `runs/`.
        page: where to write the comparison as an HTML page.

    Raises:
        NotFound: no such run, or it holds no predictions.
        UserError: it is the same run, or they share no metric.
        DataError: they answered no row in common.
    """
    runs = [find_run(workspace / "runs", reference) for reference in (first, second)]
    if runs[0].path == runs[1].path:
        raise UserError(f"both are {runs[0]}", where="compare", fix="name two different runs")
    answered = [_predictions(run) for run in runs]
    leaked = frozenset().union(*(met.ids for run in runs if (met := read_contamination(run / "evaluation"))))
    shared = answered[0].keys() & answered[1].keys()
    same = {name for name in shared if _content(answered[0][name]) == _content(answered[1][name])}
    rows = [name for name in answered[0] if name in same - leaked]
    if not rows:
        raise DataError(
            f"{runs[0]} and {runs[1]} answered no row in common"
            + (f": {len(shared):,} have the same id, and none the same content" if shared else ""),
            where="test rows",
            fix="test both on the same rows: fix them by a source with `split: test`",
        )
    arms = {str(run): [found[name] for name in rows] for run, found in zip(runs, answered, strict=True)}
    settings = read_json(runs[1] / "spec.json")["spec"]
    (metrics, unasked), task = _metrics(runs, workspace), settings["goal"].get("task")
    comparison = compare(
        arms,
        metrics,
        slices=settings["evaluate"]["slices"],
        task=task,
        confidence=settings["evaluate"]["confidence"],
        resamples=settings["evaluate"]["resamples"],
        seed=settings["data"]["split"]["seed"],
        discover=KINDS,
    )
    ranking = next((each for each in metrics if all(each.needs <= carried(made) for made in arms.values())), None)
    found = Compared(
        comparison,
        {str(run): _verdict(run) for run in runs},
        _regressed(arms, ranking.for_task(task)) if ranking else [],
        {str(run): len(made.keys() - shared) for run, made in zip(runs, answered, strict=True)},
        len(shared) - len(same),
        len(same & leaked),
        unasked,
    )
    if page is not None:
        write_text(page, render_side(found.comparison, found.verdicts, found.said()))
    return found


def _regressed(arms: Mapping[str, Sequence[Prediction]], ranking: Metric) -> list[Case]:
    return regressions(arms, ranking, {run: ranking.statistics(made) for run, made in arms.items()})


def _predictions(run: Run) -> Mapping[str, Prediction]:
    path = run / "evaluation" / "predictions-tuned.parquet"
    if not path.exists():
        raise NotFound(
            f"{run} holds no predictions", where=str(path), fix="carry it to its verdict with `tunesmith evaluate SPEC`"
        )
    return {row.record.id: row for row in read_predictions(path)}


def _content(row: Prediction) -> str:
    """What a row asks and expects; how a run put the question in words is its own."""
    record = row.record
    turns = [turn.content for turn in record.messages if turn.role == "user"]
    asked = record.text if record.text is not None else turns[-1:]
    right = [list(record.labels) or row.expected, [asdict(span) for span in record.spans or ()]]
    return fingerprint([asked, right])


def _verdict(run: Run) -> Verdict | None:
    path = run / "evaluation" / "verdict.json"
    return Verdict.from_json(read_json(path)) if path.exists() else None


def _metrics(runs: Sequence[Run], workspace: Path) -> tuple[list[Metric], list[str]]:
    """What both runs measured, in the order of the first; and why some of it cannot be measured again.

    Raises:
        UserError: they measured nothing in common.
    """
    measured: list[dict[str, Metric]] = []
    for run in runs:
        said = read_json(run / "spec.json")["spec"]
        named = [*(said["evaluate"].get("metrics") or []), *(target["metric"] for target in said["goal"]["targets"])]
        made = [cast(Metric, METRICS.make(each)) for each in named]
        measured.append({metric.name: metric for metric in made if metric.rows == "test"})
    shared = [metric for name, metric in measured[0].items() if name in measured[1]]
    if not shared:
        raise UserError(
            f"{runs[0]} and {runs[1]} measured nothing in common: {', '.join(measured[0])}; {', '.join(measured[1])}",
            where="evaluate.metrics",
            fix="evaluate both with the same metric",
        )
    models, able, unasked = OpenModels(workspace=workspace, folder=workspace, codec=Codec), [], []
    for metric in shared:
        try:
            able.append(metric.bind(models))
        except UserError as error:  # its model is gone, or its reference is relative to a spec that is elsewhere
            unasked.append(f"{metric.name} was not measured again: {error.what}")
    if not able:
        raise UserError(
            "; ".join(unasked), where="evaluate.metrics", fix="evaluate both with a metric that asks no model"
        )
    return able, unasked
