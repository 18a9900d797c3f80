"""Human evaluation of a run: drawn, served, exchanged with other tools, and brought into its verdict."""

from __future__ import annotations

import getpass
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import NotFound, UserError
from tunesmith.evaluate.caveats.contamination import clean, read_contamination
from tunesmith.evaluate.predict.stored import read_predictions
from tunesmith.evaluate.review import files, links, pairs, stored
from tunesmith.evaluate.review import people as joining
from tunesmith.evaluate.review.draw import lay_out
from tunesmith.evaluate.review.results import results
from tunesmith.evaluate.review.rubric import read_rubric
from tunesmith.evaluate.review.stored import Filled, Person, Review
from tunesmith.records import Prediction
from tunesmith.runs import Run, find_run, read_json, write_text
from tunesmith.store.open import open_store

if TYPE_CHECKING:
    from tunesmith.serve.review.app import Served


@dataclass(frozen=True)
class Link:
    """Somebody's way into a review's pages."""

    name: str
    role: str
    path: str
    """After the address of the server; whoever knows it is that person."""


@dataclass
class Desk:
    """A run's review, opened. A context manager; on leaving it lets go of the store.

    Args:
        reference: the run, `NAME` or `NAME/N`.
        workspace: the folder that holds `runs/`.
        store: the URL of the store; the workspace's own when left out.
        number: which review of the run; the latest when left out.
    """

    reference: str
    workspace: Path = Path()
    store: str | None = None
    number: int | None = None

    def __enter__(self) -> Desk:
        self.run = find_run(self.workspace / "runs", self.reference)
        self.opened = open_store(self.store or self.workspace)
        try:
            self.review = stored.find(self.opened, str(self.run), self.number)
        except BaseException:
            self.opened.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.opened.close()

    def filled(self) -> Filled:
        """The review as it stands."""
        return stored.filled(self.opened, self.review)

    def links(self) -> list[Link]:
        """Everybody's link."""
        key = links.workspace_key(self.workspace)
        return _links(key, self.review, self.filled().people)


def new_review(
    reference: str,
    rubric: Path,
    workspace: Path = Path(),
    *,
    raters: Sequence[str],
    items: int = 100,
    arms: Sequence[str] = (),
    against: str | None = None,
    shared: float = 0.3,
    each: int = 1,
    adjudicator: str | None = None,
    seed: int = 0,
    store: str | None = None,
) -> tuple[Review, list[Link]]:
    """Draws a review of a run that has been evaluated.

    Args:
        reference: the run, `NAME` or `NAME/N`.
        rubric: the file that says what is asked.
        workspace: the folder that holds `runs/`.
        raters: names of those who rate.
        items: how many test rows.
        arms: whose answers are rated, the tuned model's last; the first arm's and the tuned one's where the rubric
            asks for a preference, the tuned one's alone otherwise.
        against: another run, whose tuned model's answers are rated beside this one's, on the rows that both answered.
        shared: the share of items that every rater gets.
        each: how many raters each of the others gets.
        adjudicator: the name under which disagreements are settled; the user's name when left out.
        seed: draws, shuffles and deals.
        store: the URL of the store; the workspace's own when left out.

    Raises:
        UserError: the run has no predictions, or rubric, arms and raters do not fit.
    """
    run = find_run(workspace / "runs", reference)
    asked = read_rubric(rubric)
    if against is None:
        predictions = {arm: predictions_of(run, arm) for arm in list(arms) or _arms(run, asked.compares)}
    else:
        predictions = _two_runs(find_run(workspace / "runs", against), run, arms)
    names = list(predictions)
    layout = lay_out(predictions, asked, raters, items=items, shared=shared, each=each, seed=seed)
    settles = adjudicator or getpass.getuser()
    if settles in raters:
        settles = f"{settles} (adjudicator)"
    people = [Person(number, name, "rater") for number, name in enumerate(raters, 1)]
    people.append(Person(len(people) + 1, settles, "adjudicator"))
    plan: dict[str, Any] = {
        "arms": names,
        "rows": len(predictions[names[-1]]),
        "shared": shared,
        "each": each,
        "seed": seed,
        "salt": secrets.token_hex(16),
    }
    key = links.workspace_key(workspace, make=True)
    opened = open_store(store or workspace)
    try:
        tokens = [links.token(key, plan["salt"], person.number) for person in people]
        hashed = [(person, links.hashed(token)) for person, token in zip(people, tokens, strict=True)]
        review = stored.create(opened, str(run), asked, plan, layout, hashed)
    finally:
        opened.close()
    return review, _links(key, review, people)


def _links(key: bytes, review: Review, people: Sequence[Person]) -> list[Link]:
    return [
        Link(
            person.name,
            person.role,
            f"/{'rate' if person.role == 'rater' else 'desk'}/"
            + links.token(key, review.plan["salt"], person.number, joining.revoked(review, person.number)),
        )
        for person in people
        if joining.has_link(review, person.number)
    ]


def add_raters(desk: Desk, names: Sequence[str]) -> list[Link]:
    """Adds raters to a review that has begun; see `tunesmith.evaluate.review.people.newcomers`.

    Raises:
        UserError: a name is taken, or is none.
    """
    key, salt = links.workspace_key(desk.workspace), desk.review.plan["salt"]
    people = joining.newcomers(desk.filled(), names)
    joining.add(desk.opened, desk.review, people, [links.hashed(links.token(key, salt, new.number)) for new in people])
    return _links(key, desk.review, list(people))


def revoke_link(desk: Desk, name: str, *, another: bool = False) -> list[Link]:
    """Takes somebody's link back; what was said with it stays, and counts.

    Args:
        another: gives another link in its place.

    Returns:
        The other link, if there is one.

    Raises:
        NotFound: nobody has that name.
    """
    key, salt = links.workspace_key(desk.workspace), desk.review.plan["salt"]
    person = joining.find_person(desk.filled(), name)
    times = joining.revoked(desk.review, person.number) + 1
    token = links.token(key, salt, person.number, times) if another else secrets.token_hex(32)
    desk.review = joining.revoke(desk.opened, desk.review, person, links.hashed(token), closed=not another)
    return _links(key, desk.review, [person])


def _two_runs(other: Run, run: Run, arms: Sequence[str]) -> dict[str, list[Prediction]]:
    """What the tuned models of two runs said of the rows that both were asked.

    Raises:
        UserError: they have no rows in common, are one, or arms were named too.
    """
    if arms or other.path == run.path:
        what = "two runs are compared by their tuned models" if arms else "a run cannot be compared with itself"
        raise UserError(what, where="--against", fix="leave --arms out" if arms else "name another run")
    theirs = {(row.record.id, row.record.question): row for row in predictions_of(other, "tuned")}
    ours = [row for row in predictions_of(run, "tuned") if (row.record.id, row.record.question) in theirs]
    if not ours:
        raise UserError(
            f"{other} and {run} were tested on no row in common",
            where="--against",
            fix="evaluate both on the same rows",
        )
    return {str(other): [theirs[row.record.id, row.record.question] for row in ours], "tuned": ours}


def _arms(run: Run, compares: bool) -> list[str]:
    if not compares:
        return ["tuned"]
    others = [arm for arm in measured_arms(run) if arm != "tuned"]
    return [*others[:1], "tuned"]


def measured_arms(run: Run) -> list[str]:
    """The arms of a run's comparison; the tuned model alone where there is none."""
    comparison = run / "evaluation" / "comparison.json"
    return list(read_json(comparison)["arms"]) if comparison.exists() else ["tuned"]


def predictions_of(run: Run, arm: str) -> list[Prediction]:
    """What an arm said of the rows that were not trained on."""
    path = run / "evaluation" / f"predictions-{arm}.parquet"
    if "/" in arm or not path.exists():
        known = sorted(file.stem.removeprefix("predictions-") for file in path.parent.glob("predictions-*.parquet"))
        fix = f"use some of: {', '.join(known)}" if known else "evaluate the run first: tunesmith evaluate SPEC"
        raise NotFound(f"{run} holds no answers of an arm {arm!r}", where=str(run.path), fix=fix)
    return clean(read_predictions(path), read_contamination(run / "evaluation"))


def review_status(desk: Desk) -> dict[str, Any]:
    """How far a review has come: JSON values."""
    found = desk.filled()
    counted = results(found, resamples=100)
    return {
        "run": str(desk.run),
        "review": desk.review.number,
        "items": len(found.items),
        "raters": [
            {
                "name": rater.name,
                "done": rater.done,
                "assigned": rater.assigned,
                "seconds_per_item": rater.seconds_per_item,
            }
            for rater in counted.raters
        ],
        "differing": len(found.differing()),
        "to_settle": len([key for key in found.differing() if key not in found.settled]),
        "alpha": {criterion.name: criterion.alpha.value for criterion in counted.criteria},
    }


def export_tasks(desk: Desk, format_: files.Format, folder: Path) -> list[Path]:
    """Writes every rater's tasks for another tool; see `tunesmith.evaluate.review.files`."""
    return files.write_tasks(desk.filled(), format_, folder)


def import_ratings(desk: Desk, paths: Sequence[Path]) -> int:
    """Takes over what filled files say: all of them, or nothing when anything is wrong in one.

    Returns:
        How many items changed.
    """
    review = desk.filled()
    given = [row for path in paths for row in files.read_given(review, path)]
    return files.take(desk.opened, review, given)


def write_pairs(desk: Desk, path: Path, *, criterion: str | None = None, margin: float | None = None) -> int:
    """Writes a review's preference pairs as JSON lines that `data.sources` reads.

    Returns:
        How many pairs.

    Raises:
        UserError: the review tells of no pair.
    """
    rows = list(pairs.pairs(desk.filled(), criterion, margin))
    if not rows:
        raise UserError(f"{desk.review!s} prefers no answer to another yet", fix="rate more items, or lower --margin")
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return len(rows)


def serve_review(
    desk: Desk,
    *,
    host: str = "127.0.0.1",
    port: int = 8327,
    ready: Callable[[Served], None] = lambda _: None,
) -> None:
    """Serves a review's pages until it is interrupted.

    Args:
        host: the address to listen on; on loopback only this machine reaches it.
        port: 0 takes a free one.
        ready: called once with where the pages are.

    Raises:
        UserError: the address cannot be listened on.
    """
    from tunesmith.serve.review.app import serve

    serve(desk.opened, desk.review, host=host, port=port, ready=ready)
