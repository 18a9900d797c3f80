"""Verbs that make something: init, check, run, train, data, evaluate, merge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from tunesmith.cli.live import Screen
    from tunesmith.cli.progress import Voice
    from tunesmith.flow.stages import Until
    from tunesmith.runs import Run

from tunesmith.cli.app import AsJson, Overrides, Quiet, SpecPath, Workspace, app, console, edge, print_json


@app.command(epilog="Example: tunesmith init tickets.jsonl > triage.yaml")
@edge
def init(
    source: Annotated[str, typer.Argument(metavar="DATA", help="A data file, glob or hub id.")],
    base: Annotated[str, typer.Option(help="The model to start from.")] = "bundled",
    name: Annotated[str | None, typer.Option(help="The run's name; derived from the file's.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write here instead of to stdout.")] = None,
) -> None:
    """Look at a data file and write a sparse, commented spec that `run` accepts as it is."""
    from tunesmith.flow.data.draft import draft

    text = draft(source, base=base, name=name, spec_folder=out.parent if out else Path())
    if out is None:
        typer.echo(text, nl=False)
    else:
        from tunesmith.errors import GateFailed
        from tunesmith.runs import write_text

        if out.exists():
            raise GateFailed(f"{out} exists already", fix="name another file, or delete it first")
        write_text(out, text)
        typer.echo(out)


@app.command(epilog="Example: tunesmith check triage.yaml train.objective=sft")
@edge
def check(
    spec: SpecPath,
    changes: Overrides = None,
    workspace: Workspace = Path(),
    sample: Annotated[int, typer.Option(min=0, help="How many rendered rows to show.")] = 2,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check spec and data, and show the ledger: what every row and token becomes. Writes nothing."""
    from tunesmith.cli.progress import Voice
    from tunesmith.flow.data.check import check as check_spec

    with Voice(console(stderr=True), quiet=quiet or as_json) as voice:
        checked = check_spec(spec, changes or [], workspace, sample=sample, listen=voice)
    if as_json:
        print_json(checked.to_json())
    else:
        from tunesmith.cli.tables import print_check

        print_check(console(), checked)


@app.command(epilog="Example: tunesmith run triage.yaml train.optimizer.lr=1e-4")
@edge
def run(
    spec: SpecPath,
    changes: Overrides = None,
    workspace: Workspace = Path(),
    live: Annotated[bool, typer.Option("--live", help="Show a dashboard: curves, rate, memory, targets.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Carry a spec to its verdict: data, training, evaluation, report. The same command resumes.

    Exit code 0: SHIP, or no targets were set. 3: DON'T SHIP. 2: wrong spec or data. 1: failed.
    130: interrupted; the same command goes on.
    """
    return _run(spec, changes, workspace, "report", as_json=as_json, quiet=quiet, live=live)


@app.command(epilog="Example: tunesmith train triage.yaml")
@edge
def train(
    spec: SpecPath,
    changes: Overrides = None,
    workspace: Workspace = Path(),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Do what `run` does, up to the trained model; `run` goes on from there."""
    return _run(spec, changes, workspace, "train", as_json=as_json, quiet=quiet)


@app.command(epilog="Example: tunesmith data triage.yaml --show dropped    or: tunesmith data triage.yaml --report")
@edge
def data(
    spec: SpecPath,
    changes: Overrides = None,
    workspace: Workspace = Path(),
    show: Annotated[
        Literal["kept", "dropped", "changed"], typer.Option(help="Which rows to print, with their reasons.")
    ] = "dropped",
    limit: Annotated[int, typer.Option(min=1, help="At most this many rows.")] = 20,
    report: Annotated[bool, typer.Option("--report", help="Write an audit: what they are like, what to mend.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where the audit is written; audit/NAME.html when left out.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Prepare the data and look at the rows that were kept, dropped or changed; or audit them, with --report."""
    from tunesmith.cli.progress import Voice

    if report or out is not None:
        _audit(spec, changes or [], workspace, out, as_json=as_json, quiet=quiet)
        return
    from tunesmith.flow.data.check import look_at_rows

    with Voice(console(stderr=True), quiet=quiet or as_json) as voice:
        rows, total = look_at_rows(spec, changes or [], workspace, show=show, limit=limit, listen=voice)
    if as_json:
        print_json({"show": show, "total": total, "rows": rows})
    else:
        from tunesmith.cli.tables import print_rows

        print_rows(console(), show, rows, total)


def _audit(spec: Path, changes: list[str], workspace: Path, out: Path | None, *, as_json: bool, quiet: bool) -> None:
    from tunesmith.cli.progress import Voice
    from tunesmith.flow.data.audit import audit_data

    with Voice(console(stderr=True), quiet=quiet or as_json) as voice:
        audited = audit_data(spec, changes, workspace, page=out, listen=voice)
    if as_json:
        print_json(audited.to_json())
        return
    from tunesmith.cli.tables import print_findings

    print_findings(console(), audited.found["findings"])
    typer.echo(audited.page)


@app.command(epilog="Example: tunesmith evaluate triage.yaml --prompts")
@edge
def evaluate(
    spec: SpecPath,
    changes: Overrides = None,
    workspace: Workspace = Path(),
    prompts: Annotated[
        bool, typer.Option("--prompts", help="Compare prompts on validation rows, and report the best of them.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Do what `run` does, up to the verdict, and print every figure."""
    if prompts:
        from tunesmith.flow.evaluation.prompts import with_prompts

        changes = with_prompts(spec, changes or [], workspace)
    return _run(spec, changes, workspace, "evaluate", as_json=as_json, quiet=quiet, prompts=prompts)


@app.command(epilog="Example: tunesmith merge run:triage/4 --into triage-merged")
@edge
def merge(
    adapters: Annotated[list[str], typer.Argument(metavar="ADAPTER...", help="Folders, hub ids or run:NAME/N.")],
    into: Annotated[Path, typer.Option(help="The folder to write; it must not exist.")],
    method: Annotated[
        Literal["linear", "ties", "dare"], typer.Option(help="How several adapters become one.")
    ] = "linear",
    weights: Annotated[str, typer.Option(help="One for each adapter, such as 0.7,0.3; their mean when left out.")] = "",
    density: Annotated[
        float | None, typer.Option(help="The share of each adapter that ties and dare keep; 0.5 when left out.")
    ] = None,
    adapter: Annotated[bool, typer.Option("--adapter", help="Write one adapter instead of a whole model.")] = False,
    seed: Annotated[int, typer.Option(help="Draws what dare keeps.")] = 0,
    workspace: Workspace = Path(),
    as_json: AsJson = False,
) -> None:
    """Fold an adapter into its base, or make one model or adapter of several on the same base."""
    from tunesmith.errors import UserError
    from tunesmith.flow.training.merge import merge as merge_adapters

    try:
        factors = [float(part) for part in weights.split(",")] if weights else []
    except ValueError:
        raise UserError(f"{weights!r} are not numbers", where="--weights", fix="write such as 0.7,0.3") from None
    done = merge_adapters(
        adapters,
        into,
        method=method,
        weights=factors,
        density=density,
        form="adapter" if adapter else "model",
        seed=seed,
        workspace=workspace,
    )
    if as_json:
        print_json(done.to_json())
    else:
        for note in done.notes:
            typer.echo(note, err=True)
        typer.echo(done.folder)


def _run(
    spec: Path,
    changes: list[str] | None,
    workspace: Path,
    until: Until,
    *,
    as_json: bool,
    quiet: bool,
    live: bool = False,
    prompts: bool = False,
) -> int:
    from tunesmith.flow.run import run as run_spec

    with _listener(spec, changes or [], live=live, quiet=quiet or as_json) as listener:
        outcome = run_spec(spec, changes or [], workspace, until=until, listen=listener)
    tried = _prompts_tried(outcome.run) if prompts else []
    if as_json:
        print_json({**outcome.to_json(), **({"prompts": tried} if prompts else {})})
    elif until == "train":
        typer.echo(outcome.run.path / "model")
    else:
        from tunesmith.report.terminal import terminal_summary

        console().print(terminal_summary(outcome.run))
        if tried:
            from tunesmith.cli.tables import prompts_table

            console().print("\nprompts, tried on validation rows:", prompts_table(tried))
    return outcome.exit_code


def _prompts_tried(run: Run) -> list[dict[str, Any]]:
    from tunesmith.flow.evaluation.prompts import prompts_tried

    return prompts_tried(run)


def _listener(spec: Path, changes: list[str], *, live: bool, quiet: bool) -> Screen | Voice:
    """Who tells the user of the run: a screen where one is asked for, or lines."""
    if not live:
        from tunesmith.cli.progress import Voice

        return Voice(console(stderr=True), quiet=quiet)
    from tunesmith.cli.live import Screen
    from tunesmith.cli.scene import scene_of
    from tunesmith.spec.load import load

    written, _ = load(spec, changes)
    return Screen(
        console(stderr=True),
        scene_of(written.name, written.model_dump(mode="json")),
        footer="Ctrl-C saves and stops; the same command goes on",
    )
