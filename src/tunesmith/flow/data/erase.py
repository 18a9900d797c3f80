"""Erases a person: every row of the workspace that says their name or another of their words, and what quotes it.

Models cannot forget; those that learned from such rows are named, and so are the source files, which are the user's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow
import pyarrow.parquet

from tunesmith.data.disk.tables import opened, rewrite
from tunesmith.errors import GateFailed, UserError
from tunesmith.flow.data.forget import entries_of, forget
from tunesmith.flow.data.workshop import OWN
from tunesmith.runs import Run, list_runs, read_json, write_json
from tunesmith.vault.keys import master_key
from tunesmith.vault.store import DEFAULT, Vault

if TYPE_CHECKING:
    from sqlalchemy import Connection

SHORTEST = 3
"""Letters; fewer would stand in rows that have nothing to do with anyone."""
_TEXTS = {".json", ".jsonl", ".html", ".md", ".yaml", ".csv", ".txt"}


@dataclass
class Erased:
    """What was erased, or would be."""

    rows: dict[str, int] = field(default_factory=dict)
    """Run -> rows of its tables that say the words, predictions included."""
    reviews: int = 0
    """Items that people rate."""
    notes: int = 0
    """Notes of raters on other items."""
    vault: int = 0
    """Entries of the vault that lead back to the words."""
    models: list[str] = field(default_factory=list)
    """Runs whose model learned from such a row, and those that began with one of them."""
    sources: list[str] = field(default_factory=list)
    """Rows of the user's own files."""
    left: list[str] = field(default_factory=list)
    """Files of the workspace that still say the words."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def erase(workspace: Path, words: Sequence[str], *, store: str | None = None, really: bool) -> Erased:
    """Erases all rows that say any of some words, whatever their case.

    Args:
        workspace: the folder that holds `runs/`.
        words: names, addresses, numbers, as rows say them.
        store: where reviews are kept; in the workspace when left out.
        really: False only looks.

    Raises:
        UserError: a word is too short to mean anybody, or there is a vault and no key to it.
        GateFailed: a run is being worked on.
    """
    if short := [word for word in words if len(word.strip()) < SHORTEST]:
        raise UserError(f"{short[0]!r} is too short to mean somebody", fix=f"write at least {SHORTEST} letters")
    vault, found = _vault(workspace), Erased()
    entries = [] if vault is None else [name for name in entries_of(vault, words) if name in vault]
    says = _saying([*words, *(name.partition("/")[2] for name in entries)])  # rows may say the stand-in instead
    runs = list_runs(workspace / "runs")
    for run in runs:
        if really and run.worker() is not None:
            raise GateFailed(f"run {run} is being worked on", where=str(run.path), fix="wait for it, or stop it")
    for run in runs:
        if _tables(run, says, found, really=really):
            found.models.append(str(run))
        if really and str(run) in found.rows:
            _quote_no_more(run, says)
    while more := [str(run) for run in runs if str(run) not in found.models and _descends(run, found.models)]:
        found.models += more
    found.reviews, found.notes = _reviews(workspace, store, says, really=really)
    found.vault = len(set(entries))
    if vault is not None and really:
        forget(vault, [], words)
    if really:
        shutil.rmtree(workspace / OWN, ignore_errors=True)  # what can be made again
        found.left = [str(path.relative_to(workspace)) for path in _still_saying(workspace, says)]
    found.sources = list(dict.fromkeys(found.sources))
    return found


def _saying(words: Sequence[str]) -> Callable[[str], bool]:
    """Whether a text says any of the words, whatever their case."""
    wanted = [word.strip().casefold() for word in words]

    def says(text: str) -> bool:
        folded = text.casefold()
        return any(word in folded for word in wanted)

    return says


def _tables(run: Run, says: Callable[[str], bool], found: Erased, *, really: bool) -> bool:
    """Takes the rows out of a run's tables; whether training rows were among them."""
    trained = False
    for path in sorted(run.path.rglob("*.parquet")):
        with opened(path) as file:
            table = pyarrow.parquet.read_table(file)
        rows = table.to_pylist()
        keeps = [not says(_text(row)) for row in rows]
        if all(keeps):
            continue
        gone = [row for row, keep in zip(rows, keeps, strict=True) if not keep]
        found.rows[str(run)] = found.rows.get(str(run), 0) + len(gone)
        found.sources += [row["source"] for row in gone if row.get("source")]
        trained = trained or path.name in ("train.parquet", "replay.parquet")
        if really:
            rewrite(path, table.filter(pyarrow.array(keeps)))
    return trained


def _text(value: Any) -> str:
    """All texts in plain values, one a line; records are kept as JSON and are read as such."""
    if isinstance(value, str):
        if value.startswith("{"):
            with suppress(ValueError):
                return _text(json.loads(value))
        return value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return "\n".join(map(_text, inside))


def _descends(run: Run, models: Sequence[str]) -> bool:
    """Whether a run began with one of these models, learned from one, or replayed its rows."""
    if not (run / "spec.json").exists():
        return False
    said = _text(read_json(run / "spec.json")["spec"]).splitlines()
    names = {name for model in models for name in (f"run:{model}", f"run:{model.rpartition('/')[0]}")}
    return not names.isdisjoint(said)


def _quote_no_more(run: Run, says: Callable[[str], bool]) -> None:
    """Takes what quotes rows out of a run's JSON, and writes the report again without it."""
    evaluated = [path for path in (run / "evaluation").glob("*.json") if path.name != "verdict.json"]
    for path in (run / "data" / "ledger.json", run / "data" / "sample.json", *evaluated):
        if path.exists() and says(_text(said := read_json(path))):
            write_json(path, _without(said, says))
    if (run / "report.html").exists():
        from tunesmith.flow.stages import write_report

        write_report(run)
    elif run.complete:
        run.finish()


def _without(value: Any, says: Callable[[str], bool]) -> Any:
    """Plain values without the entries of lists that say the words."""
    if isinstance(value, dict):
        return {key: _without(below, says) for key, below in value.items()}
    if isinstance(value, list):
        return [_without(each, says) for each in value if not says(_text(each))]
    return value


def _vault(workspace: Path) -> Vault | None:
    """The vault, opened before anything is touched; None where there is none."""
    path = workspace / DEFAULT
    return Vault(path, master_key()) if path.exists() else None


def _reviews(workspace: Path, place: str | None, says: Callable[[str], bool], *, really: bool) -> tuple[int, int]:
    """Takes the rows out of what people rate, with what they said of them, and empties notes on others; how many."""
    from sqlalchemy import and_, delete, select, update

    from tunesmith.store.open import FILE, open_store
    from tunesmith.store.tables import review_answers, review_settled
    from tunesmith.store.tables import review_items as items

    if place is None and not (workspace / FILE).exists():
        return 0, 0
    store = open_store(place or workspace)
    with store.read() as connection:
        rows = connection.execute(select(items.c.review, items.c.item, items.c.shown, items.c.hidden)).all()
        gone = {(row.review, row.item) for row in rows if says(_text([row.shown, row.hidden]))}
        notes = [
            (table, row)
            for table in (review_answers, review_settled)
            for row in connection.execute(select(*table.primary_key, table.c.note))
            if says(row.note) and (row.review, row.item) not in gone
        ]

    def take_out(connection: Connection) -> None:
        for review, item in gone:
            connection.execute(delete(items).where((items.c.review == review) & (items.c.item == item)))
        for table, row in notes:
            here = and_(*(column == getattr(row, column.name) for column in table.primary_key))
            connection.execute(update(table).where(here).values(note=""))

    if really and (gone or notes):
        store.write(take_out)
    store.close()
    return len(gone), len(notes)


def _still_saying(workspace: Path, says: Callable[[str], bool]) -> Iterator[Path]:
    """Texts below `runs/` that were not rows, such as a diary or a spec."""
    for path in sorted((workspace / "runs").rglob("*")):
        if path.is_file() and path.suffix in _TEXTS:
            text = path.read_text("utf-8", "replace")
            lines = text.splitlines() if path.suffix == ".jsonl" else [text]
            if any(says(_text(line)) for line in lines):
                yield path
