"""The verb `search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.app import AsJson, Overrides, Quiet, SpecPath, Workspace, app, console, edge, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from tunesmith.flow.search import Found

MOST_ROWS = 30
"""Trials shown, the best ones; the page and --json have all of them."""


@app.command(epilog="Example: tunesmith search triage.yaml search.trials=40 scale.jobs=2")
@edge
def search(
    spec: SpecPath,
    changes: Overrides = None,
    workspace: Workspace = Path(),
    trial: Annotated[
        int | None, typer.Option("--trial", min=0, help="Write the spec of this finished trial, and train nothing.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Try other settings in short trainings, and write the spec that does best on the validation rows, and why.

    The same command goes on with what was begun. The test rows are not looked at.
    """
    from tunesmith.cli.progress import Voice
    from tunesmith.flow.search import search as search_spec
    from tunesmith.flow.search import write_trial

    if trial is not None:
        path = write_trial(spec, changes or [], workspace, trial)
        print_json({"trial": trial, "path": str(path)}) if as_json else typer.echo(path)
        return
    with Voice(console(stderr=True), quiet=quiet or as_json) as voice:
        found = search_spec(spec, changes or [], workspace, listen=voice)
    if as_json:
        print_json(found.to_json())
        return
    screen = console()
    screen.print(_trials(found))
    for line in (*found.reason, *_told(found)):
        screen.print(line, highlight=False, soft_wrap=True)
    typer.echo(found.winner or found.path)


def _trials(found: Found) -> Table:
    """The trials that ended, the best first."""
    from rich.table import Table

    study = found.study
    table = Table(box=None, header_style="dim")
    for title in ("trial", *(f"{aim.name} {aim.unit}".strip() for aim in study.aims), "", "tokens"):
        table.add_column(title, justify="right")
    for dimension in study.dimensions:
        table.add_column(dimension.path.removeprefix("train."))
    sign = -1 if study.aims[0].direction == "maximize" else 1
    order = sorted(study.trials, key=lambda t: (t.state != "done", sign * t.values[0] if t.values else 0.0, t.number))
    for trial in order[:MOST_ROWS]:
        values = [f"{value:.4g}" for value in trial.values] + ["–"] * (len(study.aims) - len(trial.values))
        params = [str(trial.params.get(dimension.path)) for dimension in study.dimensions]
        state = "" if trial.state == "done" else trial.state
        table.add_row(str(trial.number), *values, state, f"{trial.tokens:,}", *params)
    if len(order) > MOST_ROWS:
        table.caption = f"{len(order) - MOST_ROWS} more in {found.path / 'report.html'}"
    return table


def _told(found: Found) -> list[str]:
    """What mattered, what is best by several aims, and what it cost."""
    from tunesmith.report.format import duration
    from tunesmith.search.study import front

    lines = []
    if len(found.study.aims) > 1:
        numbers = ", ".join(map(str, front(found.study)))
        lines.append(f"no trial is better in one aim and as good in all than: {numbers}; --trial N writes its spec")
    if isinstance(found.importance, str):
        lines.append(f"what mattered: {found.importance}")
    else:
        shares = (f"{path} {m:.0%} ({low:.0%} to {high:.0%})" for path, (m, low, high) in found.importance.items())
        lines.append(f"what mattered (fANOVA, lowest and highest of several forests): {', '.join(shares)}")
    if found.spent.usd is not None:
        lines.append(f"cost: about {found.spent.usd:,.2f} USD, {duration(found.spent.seconds)}")
    return lines
