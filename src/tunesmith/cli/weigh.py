"""Verbs that weigh what runs came to: verdict, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli.app import AsJson, Workspace, app, console, edge, print_json


@app.command(epilog="Example: tunesmith verdict support-triage/1")
@edge
def verdict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, NAME or NAME/N.")],
    workspace: Workspace = Path(),
    as_json: AsJson = False,
) -> int:
    """Print a run's verdict: each target, what would change it, and what it rests on. Exits 0 to ship, 3 not to."""
    from tunesmith.flow.look import run_verdict

    found, decided, digests = run_verdict(run, workspace)
    if as_json:
        print_json({"run": str(found), **decided.to_json(), "digests": digests})
    else:
        from tunesmith.report.terminal import verdict_summary

        console().print(verdict_summary(found))
    return decided.exit_code


@app.command(epilog="Example: tunesmith compare support-triage/1 support-triage/2 --rows")
@edge
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A run, NAME or NAME/N.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The run that is held against it.")],
    rows: Annotated[bool, typer.Option("--rows", help="List every row that B does worse.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the comparison as an HTML page.")] = None,
    workspace: Workspace = Path(),
    as_json: AsJson = False,
) -> None:
    """Hold a run's model against that of another, on the test rows that both answered."""
    from tunesmith.flow.evaluation.side import compare_runs

    found = compare_runs(first, second, workspace, page=out)
    if as_json:
        print_json(found.to_json())
        return
    from tunesmith.report.side import side_summary

    console().print(side_summary(found.comparison, found.verdicts, found.said(), found.regressed if rows else None))
    if out is not None:
        typer.echo(out)
