"""Verbs of human evaluation: `tunesmith review new`, `serve`, `status`, `export`, `import`, `results`, `pairs`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tunesmith.cli.app import AsJson, StoreUrl, Workspace, app, console, edge, print_json

if TYPE_CHECKING:
    from tunesmith.flow.review import Desk, Link
    from tunesmith.serve.review.app import Served

review = typer.Typer(
    help="Have people rate a run's answers, blind, and bring what they say into its verdict.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(review, name="review")

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run, NAME or NAME/N.")]
Number = Annotated[int | None, typer.Option("--review", min=1, help="Which review of the run; the latest otherwise.")]


def _desk(run: str, workspace: Path, store: str | None, number: int | None = None) -> Desk:
    from tunesmith.flow.review import Desk

    return Desk(run, workspace, store, number)


def _print_links(links: list[Link], address: str = "") -> None:
    width = max(len(link.name) for link in links)
    for link in links:
        typer.echo(f"  {link.name:<{width}}  {link.role:<11}  {address}{link.path}")


@review.command(epilog="Example: tunesmith review new support-triage --rubric rubric.yaml --raters anna,ben,cara")
@edge
def new(
    run: RunName,
    rubric: Annotated[Path, typer.Option(help="What raters are asked (YAML or JSON).")],
    raters: Annotated[str, typer.Option(help="Their names, with commas between.")],
    items: Annotated[int, typer.Option(min=1, max=5000, help="How many test rows, at most.")] = 100,
    arms: Annotated[str, typer.Option(help="Whose answers, such as base,tuned; follows from the rubric.")] = "",
    against: Annotated[str | None, typer.Option(help="Another run, whose answers are rated beside this one's.")] = None,
    shared: Annotated[float, typer.Option(min=0, max=1, help="The share of rows that all raters get.")] = 0.3,
    each: Annotated[int, typer.Option(min=1, help="How many raters each other row gets.")] = 1,
    adjudicator: Annotated[str | None, typer.Option(help="Who settles disagreements; you otherwise.")] = None,
    seed: Annotated[int, typer.Option(help="Draws, shuffles and deals.")] = 0,
    workspace: Workspace = Path(),
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Draw a spread, fair and blind sample of a run's answers for people to rate."""
    from tunesmith.flow.review import new_review

    made, links = new_review(
        run,
        rubric,
        workspace,
        raters=_names(raters),
        items=items,
        arms=_names(arms),
        against=against,
        shared=shared,
        each=each,
        adjudicator=adjudicator,
        seed=seed,
        store=store,
    )
    if as_json:
        print_json({"run": made.run, "review": made.number, "links": [asdict(link) for link in links]})
        return
    typer.echo(f"{made}: serve it with `tunesmith review serve {made.run}`, or export it to CSV, Label Studio, Argilla")
    _print_links(links)


def _names(written: str) -> list[str]:
    return [name.strip() for name in written.split(",") if name.strip()]


@review.command(epilog="Example: tunesmith review add support-triage dora,emil")
@edge
def add(
    run: RunName,
    raters: Annotated[str, typer.Argument(help="Their names, with commas between.")],
    number: Number = None,
    workspace: Workspace = Path(),
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Add raters to a review that has begun: they get the items that all have, then those with the fewest raters."""
    from tunesmith.flow.review import add_raters

    with _desk(run, workspace, store, number) as desk:
        links = add_raters(desk, _names(raters))
    if as_json:
        print_json({"links": [asdict(link) for link in links]})
    else:
        _print_links(links)


@review.command(epilog="Example: tunesmith review revoke support-triage anna --another")
@edge
def revoke(
    run: RunName,
    person: Annotated[str, typer.Argument(help="Whose link.")],
    another: Annotated[bool, typer.Option("--another", help="Give another link in its place.")] = False,
    number: Number = None,
    workspace: Workspace = Path(),
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Take somebody's link back; a page that is open stops working, and what was said with it stays and counts."""
    from tunesmith.flow.review import revoke_link

    with _desk(run, workspace, store, number) as desk:
        links = revoke_link(desk, person, another=another)
    if as_json:
        print_json({"links": [asdict(link) for link in links]})
        return
    typer.echo(f"the link of {person} opens nothing any more" + ("; this one does:" if links else ""))
    if links:
        _print_links(links)


@review.command(epilog="Example: tunesmith review serve support-triage")
@edge
def serve(
    run: RunName,
    host: Annotated[
        str, typer.Option(help="The address to listen on; others reach it only where you say so.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8327,
    number: Number = None,
    workspace: Workspace = Path(),
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Serve the pages of a review: one for each rater, and a desk to settle and read results. Ctrl-C stops."""
    from tunesmith.flow.review import serve_review

    with _desk(run, workspace, store, number) as desk:
        links = desk.links()

        def ready(served: Served) -> None:
            if as_json:
                print_json({"address": served.address, "links": [asdict(link) for link in links]})
                return
            typer.echo(f"{desk.review}, served at {served.address}; Ctrl-C stops, nothing is lost")
            _print_links(links, served.address)
            if not served.only_here:
                typer.echo("others can reach it: put HTTPS before it, as links are read on the way otherwise", err=True)

        serve_review(desk, host=host, port=port, ready=ready)


@review.command(epilog="Example: tunesmith review status support-triage")
@edge
def status(
    run: RunName, number: Number = None, workspace: Workspace = Path(), store: StoreUrl = None, as_json: AsJson = False
) -> None:
    """Show how far raters have come, how far they agree, and what is left to settle."""
    from tunesmith.flow.review import review_status

    with _desk(run, workspace, store, number) as desk:
        found = review_status(desk)
        links = desk.links()
    if as_json:
        print_json({**found, "links": [asdict(link) for link in links]})
        return
    typer.echo(f"review {found['review']} of {found['run']}: {found['items']} items")
    for rater in found["raters"]:
        pace = f", {rater['seconds_per_item']:.0f} s an item" if rater["seconds_per_item"] else ""
        typer.echo(f"  {rater['name']}: {rater['done']} of {rater['assigned']}{pace}")
    for name, alpha in found["alpha"].items():
        typer.echo(f"  alpha of {name}: {'too few ratings yet' if alpha is None else f'{alpha:.2f}'}")
    typer.echo(f"  to settle: {found['to_settle']} of {found['differing']} that differ")


@review.command(epilog="Example: tunesmith review export support-triage --format csv --out ratings/")
@edge
def export(
    run: RunName,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    format_: Annotated[
        Literal["csv", "label_studio", "argilla"], typer.Option("--format", help="For which tool.")
    ] = "csv",
    number: Number = None,
    workspace: Workspace = Path(),
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write each rater's items for a spreadsheet, Label Studio or Argilla."""
    from tunesmith.flow.review import export_tasks

    with _desk(run, workspace, store, number) as desk:
        paths = export_tasks(desk, format_, out)
    if as_json:
        print_json([str(path) for path in paths])
    else:
        for path in paths:
            typer.echo(path)


@review.command("import", epilog="Example: tunesmith review import support-triage ratings/anna.csv ratings/ben.csv")
@edge
def import_(
    run: RunName,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Filled files, in any of the forms.")],
    number: Number = None,
    workspace: Workspace = Path(),
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Read ratings back from filled files: all of them, or nothing when anything is wrong."""
    from tunesmith.flow.review import import_ratings

    with _desk(run, workspace, store, number) as desk:
        changed = import_ratings(desk, files)
    if as_json:
        print_json({"changed": changed})
    else:
        typer.echo(f"{changed:,} items changed")


@review.command(epilog="Example: tunesmith review results support-triage")
@edge
def results(
    run: RunName, number: Number = None, workspace: Workspace = Path(), store: StoreUrl = None, as_json: AsJson = False
) -> int:
    """Tell agreement, raters and arms, and judge the run's targets again with what people said.

    Exit code 0: SHIP, or no targets were set. 3: DON'T SHIP.
    """
    from tunesmith.flow.review.verdict import review_results

    with _desk(run, workspace, store, number) as desk:
        found, verdict = review_results(desk)
    if as_json:
        print_json({**found.to_json(), "verdict": verdict and verdict.to_json()})
    else:
        from tunesmith.cli.tables import review_tables

        for table in review_tables(found):
            console().print(table)
        for line in verdict.lines() if verdict else []:
            typer.echo(line)
    return verdict.exit_code if verdict else 0


@review.command(epilog="Example: tunesmith review pairs support-triage --out pairs.jsonl")
@edge
def pairs(
    run: RunName,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write, JSON lines.")],
    criterion: Annotated[str | None, typer.Option(help="What decides; the preference, or the first rating.")] = None,
    margin: Annotated[float | None, typer.Option(min=0, help="How far ahead the better answer must be.")] = None,
    number: Number = None,
    workspace: Workspace = Path(),
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write preference pairs that `data.sources` reads, for training by preference."""
    from tunesmith.flow.review import write_pairs

    with _desk(run, workspace, store, number) as desk:
        count = write_pairs(desk, out, criterion=criterion, margin=margin)
    if as_json:
        print_json({"pairs": count, "path": str(out)})
    else:
        typer.echo(f"{count:,} pairs in {out}")
