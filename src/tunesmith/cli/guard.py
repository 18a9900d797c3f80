"""Verbs that guard what must not be seen: vault, erase, prune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.app import AsJson, StoreUrl, Workspace, app, console, edge, print_json

if TYPE_CHECKING:
    from tunesmith.vault.store import Vault

vault = typer.Typer(
    name="vault",
    help="Keep, show and forget what only a key opens: who is behind the stand-ins of `pii`.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(vault)


@vault.command("key", epilog="Example: tunesmith vault key > key; chmod 600 key; export TUNESMITH_KEY_FILE=key")
@edge
def key() -> None:
    """Print a fresh master key. Keep it where the vault is not: without it, nothing in there can be read again."""
    from tunesmith.vault.keys import new_key

    typer.echo(new_key())


@vault.command("init", epilog="Example: tunesmith vault init")
@edge
def init(workspace: Workspace = Path()) -> None:
    """Make an empty vault in the workspace, locked with the key of TUNESMITH_KEY or TUNESMITH_KEY_FILE."""
    from tunesmith.vault.keys import master_key
    from tunesmith.vault.store import DEFAULT, Vault

    typer.echo(Vault.create(workspace / DEFAULT, master_key()).path)


@vault.command("list", epilog="Example: tunesmith vault list person/")
@edge
def names(
    beginning: Annotated[str, typer.Argument(metavar="[BEGINNING]", help="Only names that begin so.")] = "",
    workspace: Workspace = Path(),
    as_json: AsJson = False,
) -> None:
    """List the names of entries; what they hold is not shown."""
    found = [name for name in _open(workspace).names() if name.startswith(beginning)]
    if as_json:
        print_json(found)
    else:
        for name in found:
            typer.echo(name)


@vault.command("show", epilog='Example: tunesmith vault show "person/Malin Torek"')
@edge
def show_entry(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The entry.")],
    workspace: Workspace = Path(),
) -> None:
    """Print what an entry holds: the words behind a stand-in."""
    print_json(_open(workspace).get(name))


@vault.command("forget", epilog='Example: tunesmith vault forget --of "Anna Muster"')
@edge
def forget(
    entries: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Entries to forget.")] = None,
    of: Annotated[
        list[str] | None, typer.Option(help="Forget every entry that leads back to these words, as they were written.")
    ] = None,
    workspace: Workspace = Path(),
    as_json: AsJson = False,
) -> None:
    """Destroy entries for good; later runs mask who was forgotten. Copies of the vault end with `rotate`."""
    from tunesmith.flow.data.forget import forget as forget_entries

    gone = forget_entries(_open(workspace), entries or [], of or [])
    if as_json:
        print_json(gone)
    else:
        typer.echo(f"{gone['forgotten']} forgotten")


@vault.command("rotate", epilog="Example: tunesmith vault rotate new-key")
@edge
def rotate(
    new_key: Annotated[Path, typer.Argument(metavar="FILE", help="A file with the new key, mode 0600.")],
    workspace: Workspace = Path(),
) -> None:
    """Lock the vault with another master key; entries stay. From then on the new key is the one to set."""
    from tunesmith.vault.keys import key_from_file

    opened = _open(workspace)
    opened.rotate(key_from_file(new_key))
    typer.echo(f"{len(opened)} entries are locked with the new key")


@app.command(epilog='Example: tunesmith erase "Anna Muster" anna.muster@example.org --yes')
@edge
def erase(
    words: Annotated[
        list[str], typer.Argument(metavar="WORDS...", help="Names, addresses, numbers, as rows say them.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Erase them; without it they are only counted.")] = False,
    workspace: Workspace = Path(),
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Erase every row of the workspace that says a person's words, and name the models that learned from them."""
    from tunesmith.flow.data.erase import erase as erase_rows

    found = erase_rows(workspace, words, store=store, really=yes)
    if as_json:
        print_json({"erased": yes, **found.to_json()})
        return
    held = [
        f"{sum(found.rows.values())} rows in {len(found.rows)} runs",
        f"{found.reviews} items of reviews",
        f"{found.notes} notes of raters",
        f"{found.vault} entries of the vault",
    ]
    typer.echo(f"{' and '.join(held)} {'erased' if yes else 'would be erased; --yes does it'}")
    for title, names in (
        ("models that learned from them, to be trained again", found.models),
        ("rows of your own files, to be taken out there", found.sources),
        ("files that still say the words", found.left),
    ):
        if names:
            typer.echo("\n".join([f"{title}:", *(f"  {name}" for name in names)]))


@app.command(epilog="Example: tunesmith prune --yes")
@edge
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Delete them; without it they are only listed.")] = False,
    workspace: Workspace = Path(),
    as_json: AsJson = False,
) -> None:
    """Delete the rows of runs that are older than their `data.keep`. Weights, figures and lineage stay."""
    from tunesmith.flow.data.retention import expired
    from tunesmith.flow.data.retention import prune as prune_runs

    found = prune_runs(workspace) if yes else expired(workspace)
    if as_json:
        print_json({"deleted": yes, "runs": [one.to_json() for one in found]})
        return
    for one in found:
        console().print(
            f"{one.run}  {one.age_days:g} days old, kept for {one.keep}: {one.files} files, {one.bytes:,} bytes"
        )
    rest = "deleted" if yes else "would be deleted; --yes does it"
    typer.echo(f"the rows of {len(found)} runs {rest}" if found else "no run holds rows for longer than it should")


def _open(workspace: Path) -> Vault:
    from tunesmith.vault.keys import master_key
    from tunesmith.vault.store import DEFAULT, Vault

    return Vault(workspace / DEFAULT, master_key())
