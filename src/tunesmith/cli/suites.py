"""The verb that asks a model suites: suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunesmith.cli.app import AsJson, Quiet, Workspace, app, console, edge, print_json

if TYPE_CHECKING:
    from rich.table import Table


@app.command(epilog="Example: tunesmith suite triage/1 arithmetic ./my-suite")
@edge
def suite(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, NAME/N, a folder, bundled, or a hub id.")],
    suites: Annotated[
        list[str],
        typer.Argument(
            metavar="SUITE...",
            help="Folders or .jsonl files of items, or arithmetic, facts, grammar, instructions, prose, reasoning.",
        ),
    ],
    most: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many items of each.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Rows computed at once.")] = 16,
    harness: Annotated[
        bool, typer.Option("--harness", help="The suites are tasks of lm-evaluation-harness (tunesmith[harness]).")
    ] = False,
    include: Annotated[
        Path | None, typer.Option(help="With --harness: a folder with tasks of your own, in its YAML.")
    ] = None,
    few_shot: Annotated[
        int | None, typer.Option(min=0, help="With --harness: examples shown; as each task says when left out.")
    ] = None,
    network: Annotated[bool, typer.Option("--network", help="With --harness: let it fetch data of its tasks.")] = False,
    workspace: Workspace = Path(),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Ask a model suites of questions with known answers. The same command goes on where it was stopped."""
    from tunesmith.errors import UserError
    from tunesmith.flow.evaluation.suites import run_harness, run_suites

    if not harness and (include is not None or few_shot is not None or network):
        raise UserError(
            "--include, --few-shot and --network are for tasks of the harness",
            where="tunesmith suite",
            fix="add --harness, or leave them out; suites of yours say few_shot in suite.yaml",
        )
    if harness:
        said = run_harness(
            model, suites, workspace, include=include, network=network, batch=batch, most=most, few_shot=few_shot
        )
        if as_json:
            print_json(said)
        else:
            console().print(_harness_table(said))
        return
    from tunesmith.cli.progress import Voice

    with Voice(console(stderr=True), quiet=quiet) as listen:
        results = [
            result.to_json() for result in run_suites(model, suites, workspace, batch=batch, most=most, listen=listen)
        ]
    if as_json:
        print_json(results)
    else:
        console().print(_table(results))


def _table(results: list[dict[str, Any]]) -> Table:
    from tunesmith.cli.tables import plain_table
    from tunesmith.report.format import figure, interval

    table = plain_table(
        "suite", "items", "shots", "figure", "value", "95%", "chance", numbers=["items", "shots", "value"]
    )
    for result in results:
        for number, (name, said) in enumerate(result["figures"].items()):
            first = number == 0
            table.add_row(
                result["suite"] if first else "",
                f"{result['num_rows']:,}" if first else "",
                str(result["few_shot"]) if first else "",
                name,
                figure(said["value"]),
                interval(said["interval"]),
                figure(result["chance"]) if first and result["chance"] is not None else "",
            )
        if result["cut"]:
            table.add_row("", "", "", f"{result['cut']:,} items were cut at their beginning", "", "", "")
    return table


def _harness_table(said: dict[str, Any]) -> Table:
    from tunesmith.cli.tables import plain_table
    from tunesmith.report.format import figure

    table = plain_table(
        "task", "shots", "figure", "value", "standard error", numbers=["shots", "value", "standard error"]
    )
    for task, figures in said["tasks"].items():
        for name, found in figures.items():
            table.add_row(
                task, str(said["few_shot"].get(task, "")), name, figure(found["value"]), figure(found["stderr"])
            )
    return table
