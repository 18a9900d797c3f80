"""The command `tunesmith`: every verb is a thin wrapper over a function of `tunesmith.flow`.

Results go to stdout, everything else to stderr. Nothing heavy is imported before a verb runs.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from tunesmith.errors import Error, Interrupted, UserError

if TYPE_CHECKING:
    from rich.console import Console

# Read by OpenMP when torch is imported. Threads that wait by spinning starve each other on a busy machine: two of
# them beside another job took four times as long as one. A short spin costs nothing measurable on a quiet one.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# Each new length of a batch is a new kernel to oneDNN, which keeps 1,024 of them unless told otherwise; that memory
# only grows. Keeping 64 held 737 MB where keeping all held over 1,000 MB, at the same speed.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

P = ParamSpec("P")

app = typer.Typer(
    name="tunesmith",
    help="From a goal and a data file to a fine-tuned language model that provably meets it.",
    epilog="Start with: tunesmith init DATA.jsonl > my.yaml, then tunesmith run my.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)

SpecPath = Annotated[Path, typer.Argument(metavar="SPEC", help="The spec file (YAML or JSON).")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[PATH=VALUE]...", help="Changes to it, such as train.optimizer.lr=1e-4.")
]
Workspace = Annotated[
    Path, typer.Option("--workspace", "-w", help="The folder that holds runs/; nothing is written outside of it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store", envvar="TUNESMITH_STORE", help="A postgresql:// URL; the workspace's tunesmith.db otherwise."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only warnings.")]


def edge(function: Callable[P, int | None]) -> Callable[P, None]:
    """Turns what a verb returns or raises into an exit code and a message without a traceback.

    A spec is read here first: what is wrong with it is told before what runs it is imported, which takes seconds.
    """

    @functools.wraps(function)
    def at_the_edge(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            given: Mapping[str, Any] = kwargs
            if "spec" in given:
                from tunesmith.spec.load import load

                load(given["spec"], given.get("changes") or ())
            code = function(*args, **kwargs) or 0
        except Error as error:
            complain(error)
            code = error.exit_code
        except KeyboardInterrupt:
            complain(Interrupted("stopped", fix="give the same command again to go on"))
            code = Interrupted.exit_code
        except BrokenPipeError:
            # The reader of our output has gone (`| head`): there is nobody left to tell.
            sys.stderr.close()
            code = 0
        raise typer.Exit(code)

    return at_the_edge


def complain(error: Error) -> None:
    """Prints an error to stderr: what, where, fix."""
    label = "error" if isinstance(error, UserError) else "interrupted" if isinstance(error, Interrupted) else "failed"
    typer.secho(f"{label}: ", err=True, fg="red" if label != "interrupted" else "yellow", nl=False)
    typer.echo(str(error), err=True)


def console(*, stderr: bool = False) -> Console:
    """Where tables are printed; outside a terminal they are wide enough not to break their lines."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() or "COLUMNS" in os.environ else 140)


def print_json(value: Any) -> None:
    """Prints a result for programs: strict JSON."""
    import json

    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tunesmith {version('tunesmith')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """The entry point."""
    app()


# The verbs join the app when their files are imported; `--help` lists them in this order.
from tunesmith.cli import make  # noqa: E402

# isort: split
from tunesmith.cli import plan  # noqa: E402

# isort: split
from tunesmith.cli import search  # noqa: E402

# isort: split
from tunesmith.cli import launch  # noqa: E402

# isort: split
from tunesmith.cli import look  # noqa: E402

# isort: split
from tunesmith.cli import weigh  # noqa: E402

# isort: split
from tunesmith.cli import suites  # noqa: E402

# isort: split
from tunesmith.cli import guard  # noqa: E402

# isort: split
from tunesmith.cli import review  # noqa: E402

__all__ = ["app", "guard", "launch", "look", "main", "make", "plan", "review", "search", "suites", "weigh"]
