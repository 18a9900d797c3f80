"""The verb plan: what a run would take, which base to choose, and what measured facts advise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from tunesmith.flow.plan.advise import Advised
    from tunesmith.flow.plan.bases import Bases, Candidate
    from tunesmith.flow.plan.costs import Cost

from tunesmith.cli.app import AsJson, Overrides, Quiet, SpecPath, Workspace, app, console, edge, print_json


@app.command(epilog="Example: tunesmith plan triage.yaml --bases bundled,./my-model,bundled@random --try 200")
@edge
def plan(
    spec: SpecPath,
    changes: Overrides = None,
    workspace: Workspace = Path(),
    bases: Annotated[
        str, typer.Option(help="Compare these for the base, such as bundled,./my-model; NAME@random for fresh weights.")
    ] = "",
    steps: Annotated[
        int | None,
        typer.Option("--try", min=8, help="With --bases or --advise: train each for so many steps, 200 as a rule."),
    ] = None,
    advice: Annotated[
        bool, typer.Option("--advise", help="Measure what prompting, examples and tuning come to, and advise.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print parameters, tokens, steps, memory and time that a run would take on this machine; or compare bases."""
    from tunesmith.cli.progress import Voice
    from tunesmith.errors import UserError

    if bases and advice:
        raise UserError("a base is chosen first, and then advised on", where="--advise", fix="give one of the two")
    if steps is not None and not (bases or advice):
        raise UserError("there is nothing to try", where="--try", fix="give --bases or --advise beside it")
    with Voice(console(stderr=True), quiet=quiet or as_json) as voice:
        if bases:
            from tunesmith.flow.plan.bases import compare_bases

            names = [name.strip() for name in bases.split(",") if name.strip()]
            compared = compare_bases(spec, names, changes or [], workspace, steps=steps or 0, listen=voice)
        elif advice:
            from tunesmith.flow.plan.advise import TRIED_STEPS, advise

            advised = advise(spec, changes or [], workspace, steps=steps or TRIED_STEPS, listen=voice)
        else:
            from tunesmith.flow.plan import plan as plan_run

            planned = plan_run(spec, changes or [], workspace, listen=voice)
    if as_json:
        print_json((compared if bases else advised if advice else planned).to_json())
    elif bases:
        _print_bases(compared)
    elif advice:
        _print_advice(advised)
    else:
        from tunesmith.cli.tables import plan_table

        console().print(plan_table(planned))


def _print_bases(found: Bases) -> None:
    for part in _bases_tables(found):
        console().print(part)
    typer.echo(f"{f'recommended: {found.recommended}' if found.recommended else 'not decided'}; {found.because}")
    for note in found.notes:
        typer.echo(f"- {note}")


def _print_advice(found: Advised) -> None:
    for part in _advice_tables(found):
        console().print(part)
    for note in found.notes:
        typer.echo(f"- {note}")


_INK = {"yes": "green", "conditions": "yellow", "no": "red", "unknown": "yellow"}
CHEAPEST = 3
"""Machines shown for each method; JSON has all."""


def _bases_tables(found: Bases) -> Iterator[RenderableType]:
    """Facts of all candidates, their tries where there are any, and what each method takes."""
    for table in (_facts(found), _tries(found), _costs(found)):
        if table.row_count:
            yield table
            yield ""


def _facts(found: Bases) -> Table:
    from rich.text import Text

    from tunesmith.cli.tables import plain_table

    numbers = ["parameters", "context", "tokens/word"]
    table = plain_table(
        "base", "does", *numbers, "language", "commercial use", "card", "speaks against", numbers=numbers
    )
    for one in found.candidates:
        if one.refused or one.fit is None or one.licence is None:
            table.add_row(one.name, Text("cannot be used", style="red"), "", "", "", "", "", "", Text(one.refused))
            continue
        fit = one.fit
        named = ", ".join(fit.languages) or "card names none"
        allowed = f"{one.licence.commercial}: {one.licence.name or 'no licence named'}"
        table.add_row(
            one.name,
            f"{fit.objective} ({fit.architecture})",
            f"{one.num_parameters:,}",
            f"{fit.context:,}",
            f"{fit.tokens_a_word:.2f}",
            f"{fit.language or 'mixed'}; {named}",
            Text(allowed, style=_INK[one.licence.commercial]),
            Text("; ".join([f"data: {', '.join(one.datasets) or 'not said'}", one.community]), style="dim"),
            Text("; ".join(fit.against) or "nothing found", style="dim" if not fit.against else ""),
        )
    return table


def _tries(found: Bases) -> Table:
    from rich.text import Text

    from tunesmith.cli.tables import plain_table

    table = plain_table("base", "tried", "figure", "measured", "whole training", "95% interval", "basis")
    for one in found.candidates:
        if one.tried:
            tried = one.tried
            told = tried.projection
            table.add_row(
                one.name,
                f"{tried.steps:,} steps, {tried.rows:,} rows",
                tried.figure,
                f"{tried.course[-1][1]:.3f}",
                Text(f"{told.value:.3f}", style="bold"),
                f"{told.low:.3f} to {told.high:.3f}",
                Text(told.basis, style="dim"),
            )
    return table


def _costs(found: Bases) -> Table:
    from tunesmith.cli.tables import plain_table

    names = ["trained", "memory here", "time here", "GPU memory"]
    table = plain_table("base", "method", *names, "cheapest to rent (on demand; spot)", numbers=names)
    for one in found.candidates:
        for cost in one.costs:
            table.add_row(*_cost(one, cost))
    return table


def _cost(one: Candidate, cost: Cost) -> list[str | Text]:
    from rich.text import Text

    from tunesmith.flow.plan.words import dollars, gigabytes
    from tunesmith.report.format import duration

    if cost.refused:
        return [one.name, cost.method, "", "", "", "", Text(cost.refused, style="dim")]
    rents = [
        f"{rent.instance} {dollars(rent.on_demand)}"
        + (f"; {dollars(rent.spot)}" if rent.spot is not None else "")
        + f", {duration(rent.seconds)}"
        for rent in cost.rents[:CHEAPEST]
    ]
    return [
        one.name,
        cost.method,
        f"{cost.trained_parameters:,}",
        Text(gigabytes(cost.memory_bytes), style="" if cost.fits else "red"),
        duration(cost.seconds),
        gigabytes(cost.gpu_bytes),
        Text("\n".join(rents) or "fits on no machine of the table", style="dim"),
    ]


def _advice_tables(found: Advised) -> Iterator[RenderableType]:
    """What was measured, then the advice."""
    from rich.text import Text

    from tunesmith.cli.tables import plain_table

    table = plain_table("arm", found.metric, "95% interval", "rows")
    for arm in found.arms:
        interval = "" if arm.low is None or arm.high is None else f"{arm.low:.3f} to {arm.high:.3f}"
        value = "-" if arm.value is None else f"{arm.value:.3f}"
        table.add_row(arm.name, Text(value, style="bold"), interval, Text(arm.said or f"{arm.rows:,}", style="dim"))
    yield table
    yield ""
    table = plain_table("about", "advice", "because", "against")
    for each in found.advice:
        given = Text(each.advice or "none", style="bold" if each.advice else "dim")
        table.add_row(each.about, given, Text(each.because), Text(each.against, style="dim"))
    yield table
    yield ""
