"""The verb launch: a run that is carried out elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tunesmith.cli.app import AsJson, Overrides, Quiet, SpecPath, Workspace, app, console, edge, print_json


@app.command(epilog="Example: tunesmith launch triage.yaml --on sky --dry-run scale.spot=true")
@edge
def launch(
    spec: SpecPath,
    changes: Overrides = None,
    on: Annotated[
        Literal["ray", "sky"], typer.Option("--on", help="A Ray cluster, or a machine rented by SkyPilot.")
    ] = "sky",
    address: Annotated[
        str, typer.Option(help="With --on ray: its job server.", envvar="RAY_API_SERVER_ADDRESS")
    ] = "http://127.0.0.1:8265",
    wheel: Annotated[
        Path | None, typer.Option(exists=True, help="With --on sky: install tunesmith there from this wheel.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --on sky: write the task file, rent nothing.")
    ] = False,
    workspace: Workspace = Path(),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Carry out a run elsewhere: as a job of a Ray cluster, or on a machine that SkyPilot rents and gives back."""
    from tunesmith.errors import UserError

    if on == "ray":
        if wheel is not None or dry_run or as_json:
            raise UserError("--wheel, --dry-run and --json are for --on sky", where="launch", fix="leave them out")
        from tunesmith.flow.launch.ray import launch_on_ray

        return launch_on_ray(spec, changes or [], workspace, address, lambda text: typer.echo(text, nl=False))
    import shutil

    from tunesmith.cli.progress import Voice
    from tunesmith.flow.launch.sky import launch_on_sky, rent

    with Voice(console(stderr=True), quiet=quiet or as_json) as voice:
        rental = rent(spec, changes or [], workspace, wheel=wheel, listen=voice)
    if as_json:
        print_json(rental.to_json())
    else:
        for line in rental.lines():
            typer.echo(line)
    if dry_run or shutil.which("sky") is None:
        if not dry_run:
            typer.echo("there is no program `sky` here: install SkyPilot and give the command above", err=True)
        return 0
    return launch_on_sky(rental)
