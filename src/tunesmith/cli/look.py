"""Verbs that look at what is there: show, ls, report, schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli.app import AsJson, Overrides, Workspace, app, console, edge, print_json


@app.command(epilog="Example: tunesmith show support-triage/1    or: tunesmith show triage.yaml")
@edge
def show(
    what: Annotated[str, typer.Argument(metavar="RUN|SPEC", help="A run (NAME or NAME/N) or a spec file.")],
    changes: Overrides = None,
    workspace: Workspace = Path(),
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Watch the run until it ends; Ctrl-C leaves it alone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a run's verdict and figures, or every value of a spec with where it came from."""
    from tunesmith.flow.look import resolved_spec, run_summary

    if follow and not _watch(what, workspace, as_json=as_json):
        return
    if what.endswith((".yaml", ".yml", ".json")):
        resolved = resolved_spec(Path(what), changes or [], workspace)
        if as_json:
            print_json(resolved.to_json())
        else:
            from tunesmith.cli.tables import origins_table

            console().print(origins_table(resolved))
        return
    summary = run_summary(what, workspace)
    if as_json:
        print_json(summary)
        return
    from tunesmith.report.terminal import terminal_summary
    from tunesmith.runs import Run

    console().print(terminal_summary(Run(Path(summary["path"]))))


def _watch(what: str, workspace: Path, *, as_json: bool) -> bool:
    """Shows a run until it ends; False when the watching was ended before."""
    from tunesmith.cli.live import follow
    from tunesmith.errors import UserError
    from tunesmith.runs import find_run

    if what.endswith((".yaml", ".yml", ".json")):
        raise UserError("a spec cannot be followed", where=what, fix="name its run, as tunesmith ls lists them")
    run = find_run(workspace / "runs", what)
    if follow(run, console(stderr=True)):
        if not run.complete and not as_json:
            typer.echo(f"{run} has not reached its end and nobody works on it; its command goes on with it", err=True)
        return True
    typer.echo(f"{run} goes on; tunesmith show {run} tells what it has come to", err=True)
    return False


@app.command(epilog="Example: tunesmith ls")
@edge
def ls(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only runs of this name.")] = None,
    studies: Annotated[bool, typer.Option("--studies", help="The searches, in place of the runs.")] = False,
    workspace: Workspace = Path(),
    as_json: AsJson = False,
) -> None:
    """List the runs of this workspace, or its searches."""
    from tunesmith.flow.look import run_rows, study_rows

    rows = study_rows(name, workspace) if studies else run_rows(name, workspace)
    if as_json:
        print_json(rows)
        return
    from tunesmith.cli.tables import runs_table, studies_table

    if rows:
        console().print(studies_table(rows) if studies else runs_table(rows))
    else:
        what, verb = ("searches", "search") if studies else ("runs", "run")
        console().print(f"no {what} here yet: start one with `tunesmith {verb} SPEC`")


@app.command(epilog="Example: tunesmith report support-triage/1")
@edge
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, NAME or NAME/N.")],
    workspace: Workspace = Path(),
    as_json: AsJson = False,
) -> None:
    """Write report.html and card.md of a run again, from what the run holds."""
    from tunesmith.flow.stages import write_report
    from tunesmith.runs import find_run

    paths = write_report(find_run(workspace / "runs", run))
    if as_json:
        print_json({name: str(path) for name, path in paths.items()})
    else:
        for path in paths.values():
            typer.echo(path)


@app.command(epilog="Example: tunesmith send support-triage/1 --to mlflow uri=http://localhost:5000")
@edge
def send(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, NAME or NAME/N.")],
    to: Annotated[str, typer.Option(help="Which tracker: tensorboard, wandb, mlflow, or one of a plug-in.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[SETTING=VALUE]...", help="Settings of the tracker.")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Where its files are put; tracked/ when left out.")] = None,
    workspace: Workspace = Path(),
    as_json: AsJson = False,
) -> None:
    """Send a run's curves, figures and spec to a tracker; sent again, nothing is there twice."""
    from tunesmith.flow.look import send_run

    sent = send_run(run, to, workspace, settings=settings or [], folder=folder)
    if as_json:
        print_json(sent)
    else:
        typer.echo(f"{sent['run']}: {sent['rows']:,} rows of figures in {sent['where']}")


@app.command(epilog="Example: tunesmith schema > tunesmith.schema.json")
@edge
def schema() -> None:
    """Print the JSON schema of a spec, for editors and for checking."""
    from tunesmith.spec.schema import json_schema

    print_json(json_schema())
