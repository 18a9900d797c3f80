"""Human evaluation of a run: drawn, served, exchanged with other tools, and brought into its verdict."""

from __future__ import annotations

import getpass
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tunesmith.errors import NotFound, UserError
from tunesmith.evaluate.arms import Arm
from tunesmith.evaluate.caveats.contamination import Contamination, clean, read_contamination
from tunesmith.evaluate.caveats.weigh import simpler_arms, weigh
from tunesmith.evaluate.comparison import Comparison
from tunesmith.evaluate.predict.stored import read_predictions
from tunesmith.evaluate.review import files, links, pairs, stored
from tunesmith.evaluate.review.draw import lay_out
from tunesmith.evaluate.review.measured import rated
from tunesmith.evaluate.review.results import Results, results
from tunesmith.evaluate.review.rubric import read_rubric
from tunesmith.evaluate.review.stored import Filled, Person, Review
from tunesmith.evaluate.verdict import Verdict, decide, judge
from tunesmith.flow.evaluation.judging import hold_against_review
from tunesmith.flow.evaluation.repeats import fold_predictions
from tunesmith.metrics import Metric
from tunesmith.metrics.judged import Judged
from tunesmith.part import ARMS
from tunesmith.records import Prediction
from tunesmith.runs import Run, find_run, read_json, write_json, write_text
from tunesmith.spec.sections import Target
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
    names = list(arms) or _arms(run, asked.compares)
    predictions = {arm: _predictions(run, arm) for arm in names}
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
            f"/{'rate' if person.role == 'rater' else 'desk'}/{links.token(key, review.plan['salt'], person.number)}",
        )
        for person in people
    ]


def _arms(run: Run, compares: bool) -> list[str]:
    if not compares:
        return ["tuned"]
    others = [arm for arm in _measured_arms(run) if arm != "tuned"]
    return [*others[:1], "tuned"]


def _measured_arms(run: Run) -> list[str]:
    comparison = run / "evaluation" / "comparison.json"
    return list(read_json(comparison)["arms"]) if comparison.exists() else ["tuned"]


def _predictions(run: Run, arm: str) -> list[Prediction]:
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


def review_results(desk: Desk) -> tuple[Results, Verdict | None]:
    """What a review comes to, left in `evaluation/review.json`, and the run's verdict with it."""
    found = results(desk.filled())
    write_json(desk.run / "evaluation" / "review.json", found.to_json())
    return found, rejudge(desk.run, desk.filled())


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


def rejudge(run: Run, review: Filled) -> Verdict | None:
    """Writes a run's verdict again with what people said; what rests on other rows stands as it was judged.

    Args:
        run: evaluated before.
        review: its review.

    Returns:
        The verdict; None where the run has none.

    Raises:
        UserError: the verdict is of other targets than the spec's.
    """
    path = run / "evaluation" / "verdict.json"
    if not path.exists():
        return None
    spec, before = read_json(run / "spec.json")["spec"], Verdict.from_json(read_json(path))
    targets = [Target.model_validate(target) for target in spec["goal"]["targets"]]
    if len(targets) != len(before.targets):
        raise UserError(f"the verdict of {run} is not of its spec's targets", where=str(path), fix="evaluate it again")
    asked = [
        number
        for number, target in enumerate(targets)
        if cast(Metric, target.metric).rows == "review" or isinstance(target.metric, Judged)
    ]
    met = read_contamination(run / "evaluation") or Contamination(0, 0, unsought=[str(run)])
    judged = _judge_ratings([targets[number] for number in asked], run, review, met, spec)
    found = dict(enumerate(before.targets)) | dict(zip(asked, judged.targets, strict=True))
    verdict = decide(list(found.values()), before.confidence)
    comparison = Comparison.from_json(read_json(run / "evaluation" / "comparison.json"))
    arms = [cast(Arm, ARMS.make(arm)) for arm in spec["evaluate"].get("arms") or []]
    verdict = weigh(verdict, comparison, met, simpler_arms(arms))
    write_json(path, verdict.to_json())
    from tunesmith.flow.stages import write_report  # which brings everything that a run needs

    write_report(run)
    return verdict


def _judge_ratings(
    targets: Sequence[Target], run: Run, review: Filled, met: Contamination | None, spec: Mapping[str, Any]
) -> Verdict:
    """The one place that judges what people said, and models that are trusted as far as they agree with people: by the
    confidence and the draws of the run's spec."""
    settings = spec.get("evaluate", {})
    arms = {arm: _predictions(run, arm) for arm in _measured_arms(run)}
    folds = fold_predictions(run, settings["folds"], "tuned") if settings.get("folds") else None
    return judge(
        targets,
        arms["tuned"],
        arms=arms,
        beside={"review": rated(arms["tuned"], review)},
        doubts=hold_against_review(run, review, arms),
        folds=folds and [clean(fold, met) for fold in folds],
        task=spec["goal"].get("task"),
        confidence=settings.get("confidence", 0.95),
        resamples=settings.get("resamples", 2000),
        seed=spec["data"].get("split", {}).get("seed", 0),
    )
