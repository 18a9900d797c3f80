"""Candidates for the base of a spec, side by side: fit, licence, card, memory, time, money; and a short try of each."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith.errors import UserError
from tunesmith.flow.data.ready import make_ready
from tunesmith.flow.environment import free_memory, threads, use_threads
from tunesmith.flow.narrator import Listener, Narrator, silent
from tunesmith.flow.plan.costs import Cost, costs
from tunesmith.flow.plan.fit import Fit, fit_of
from tunesmith.flow.plan.licences import Licence, licence
from tunesmith.flow.plan.stage import MODEL_FLOPS_SHARE, StagePlan, matrix_speed, plan_stage
from tunesmith.flow.plan.tries import Tried, ranked, try_base, undecided
from tunesmith.flow.request import Request, make_request
from tunesmith.flow.training import encode_stage
from tunesmith.flow.training.settle import settle_memory
from tunesmith.scale.executor import Lost, Worker
from tunesmith.scale.instances import Instance, instances

RANDOM = "random"
"""`NAME@random`: the architecture and tokenizer of a base with fresh weights."""
ASKED_FOR = 10.0
"""Seconds that the hub is waited for."""


@dataclass(frozen=True)
class Candidate:
    """A base, as far as it can be told before it is trained."""

    name: str
    refused: str
    """Why it cannot be used; empty where it can."""
    fit: Fit | None = None
    licence: Licence | None = None
    num_parameters: int = 0
    datasets: tuple[str, ...] = ()
    """What its card says that it was trained on."""
    community: str = ""
    """Downloads and likes, or why nothing is told of them."""
    planned: StagePlan | None = None
    """The spec's own last stage."""
    costs: tuple[Cost, ...] = ()
    tried: Tried | None = None


@dataclass(frozen=True)
class Bases:
    """Candidates, the best first."""

    candidates: tuple[Candidate, ...]
    recommended: str | None
    """None where nothing decides."""
    because: str
    """The number that decided, or why none did."""
    notes: tuple[str, ...]
    """What has to be known of the figures."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; None for limits that are not known."""
        told: dict[str, Any] = _finite(asdict(self))
        return told


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def compare_bases(
    spec_path: Path,
    names: Sequence[str],
    changes: Sequence[str] = (),
    workspace: Path = Path(),
    *,
    steps: int = 0,
    listen: Listener = silent,
) -> Bases:
    """Sets candidates for a spec's base side by side.

    Args:
        spec_path: the spec file.
        names: `bundled`, folders, hub ids, `run:NAME/N`; with `@random` for fresh weights, or `@` and a hub revision.
        changes: overrides.
        workspace: the folder that holds `runs/`, and an `instances.yaml` of its own where there is one.
        steps: of a short training of each; none where 0.
        listen: gets every event.

    Raises:
        UserError: there are no names, or one stands there twice; the table of machines is wrong.
    """
    if not names or len(set(names)) < len(names):
        raise UserError("name each candidate once", where="--bases", fix="write such as --bases bundled,./my-model")
    narrator, machines = Narrator(listen), instances(workspace)
    found = []
    for done, name in enumerate(names):
        narrator.progressing(f"looking at {name}", done, len(names))
        found.append(_apart(partial(_candidate, spec_path, changes, workspace, machines, steps), name))
    tried = {each.name: each.tried for each in found if each.tried}
    order = _order(found, tried)
    recommended, because = decide(order, tried)
    return Bases(tuple(order), recommended, because, _notes(order, tried, machines))


def written(name: str) -> list[str]:
    """The overrides that make a candidate the base."""
    model, _, beside = name.partition("@")
    more = {"": [], RANDOM: ["base.initialize=random"]}.get(beside, [f"base.revision={beside}"])
    return [f"base.model={model}", *more]


def _apart(look: Callable[[str], Candidate], name: str) -> Candidate:
    """Looks at a candidate in a process of its own: what one leaves in memory is not counted as the next one's."""
    worker = Worker({"OMP_NUM_THREADS": str(threads())})
    try:
        worker.ask(look, [name])
        found: Candidate = worker.hear()[0]
    except Lost as lost:
        return Candidate(name, f"the process that tried it {lost}; its memory may not have sufficed")
    finally:
        worker.end()
    return found


def _candidate(
    spec_path: Path, changes: Sequence[str], workspace: Path, machines: Sequence[Instance], steps: int, name: str
) -> Candidate:
    """All that is told of one candidate; where it cannot be opened or used, why."""
    use_threads()
    narrator = Narrator()
    try:
        request = make_request(spec_path, [*changes, *written(name)], workspace)
        job, collected, _ = make_ready(request, narrator)
        number = len(job.spec.train) - 1
        planned, trial = plan_stage(request, job, number, narrator)
        examples, validation, order = encode_stage(job, number, narrator)
        stage = settle_memory(request, job.spec.train[number], examples, validation, free_memory()).stage
        said = collected.ledger.to_json()["splits"]["train"]
        fit = fit_of(request, job, said["truncated"]["rows"], said["lengths"].get("max", 0))
        speed = matrix_speed() * MODEL_FLOPS_SHARE
        priced = costs(request, stage, examples, order, free_memory(), trial, speed, machines)
        tried = try_base(request, job, steps, narrator) if steps else None
    except UserError as error:
        return Candidate(name, f"{error.where}: {error.what}" if error.where else error.what)
    return Candidate(
        name,
        "",
        fit=fit,
        licence=licence(request.base.licence),
        num_parameters=request.base.num_parameters,
        datasets=request.base.datasets,
        community=_community(request),
        planned=planned,
        costs=tuple(_measured(each, planned) for each in priced),
        tried=tried,
    )


def _measured(cost: Cost, planned: StagePlan) -> Cost:
    """A method's cost, with what was measured of it where it is the spec's own."""
    if cost.method != planned.adapter or cost.refused:
        return cost
    fits = planned.memory_bytes < planned.free_bytes
    return replace(cost, memory_bytes=planned.memory_bytes, fits=fits, seconds=planned.seconds)


def _community(request: Request) -> str:
    """What the hub tells of a model's use; nothing is made up."""
    if request.base.revision is None:
        return "it is on this machine, so the hub was not asked"
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return "offline, so the hub was not asked"
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        told = HfApi().model_info(request.base.reference, timeout=ASKED_FOR)
    except (HfHubHTTPError, HTTPError, OSError) as error:
        return f"the hub did not say ({type(error).__name__})"
    return f"{told.downloads or 0:,} downloads in 30 days, {told.likes or 0:,} likes, as the hub says today"


def _order(found: Sequence[Candidate], tried: dict[str, Tried]) -> list[Candidate]:
    """Those tried by their projection, then those that can be used by what speaks against them and by their time."""
    place = {name: at for at, name in enumerate(ranked(tried))}

    def key(one: Candidate) -> tuple[float, ...]:
        if one.refused or one.fit is None or one.planned is None or one.licence is None:
            return (1, 0, 0, 0, 0)
        return (
            0,
            place.get(one.name, len(place)),
            len(one.fit.against),
            one.licence.commercial == "no",
            one.planned.seconds,
        )

    return sorted(found, key=key)


def decide(order: Sequence[Candidate], tried: dict[str, Tried]) -> tuple[str | None, str]:
    """Which is recommended, and by which number."""
    able = [one for one in order if not one.refused]
    if not able:
        return None, "none of them can be used for this spec"
    if len(able) == 1:
        return able[0].name, "the others cannot be used for this spec"
    if not tried:
        return None, "facts alone do not decide which learns this task best: add --try 200"
    best, other = (tried[name] for name in ranked(tried)[:2])
    names = ranked(tried)
    said = (
        f"{best.figure} after the whole training about {best.projection.value:.3f} ({best.projection.low:.3f} to "
        f"{best.projection.high:.3f}), of {names[1]} {other.projection.value:.3f} ({other.projection.low:.3f} to "
        f"{other.projection.high:.3f})"
    )
    if (names[0], names[1]) in undecided(tried):
        return None, f"{said}: the intervals overlap, so the order of the two is not decided; try more steps"
    return names[0], said


def _notes(order: Sequence[Candidate], tried: dict[str, Tried], machines: Sequence[Instance]) -> tuple[str, ...]:
    dates = sorted({f"{machine.as_of.isoformat()}: {machine.source}" for machine in machines})
    notes = [f"prices of {date}" for date in dates]
    notes.append("memory and time on rented GPUs are by formula; nothing was run there")
    for one, other in undecided(tried):
        notes.append(f"{one} and {other}: their intervals overlap, so which is better is not decided")
    return tuple(notes)
