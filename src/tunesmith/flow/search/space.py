"""What a search may vary and what it seeks, held against the spec itself before anything is trained."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from tunesmith.errors import Problem, SpecError
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.request import Request
from tunesmith.flow.training import measured_metrics
from tunesmith.search.sampling import MOST_POINTS
from tunesmith.search.space import size
from tunesmith.search.study import Aim, Dimension, Value
from tunesmith.spec.load import Written, changed
from tunesmith.spec.quantity import Quantity
from tunesmith.spec.resolve import Resolved
from tunesmith.spec.rooms.search import Vary
from tunesmith.spec.sections import Spec
from tunesmith.train.watchers import Watcher, better

COST = {"latency": Aim("latency_p95", "minimize", "ms"), "size": Aim("size", "minimize", "MB")}
"""Aims that are measured once a trial has been trained."""

_OTHER_QUESTION = "it changes what trials are compared by"
_REFUSED = {
    r"name|track|card|scale|search|relative_to": "it changes no training",
    r"goal|evaluate": _OTHER_QUESTION,
    r"data\.split": "trials are compared on the same validation rows, and it divides the rows",
    r"(data|prompt|train|train\.\d+)$": "name one setting of it",
    r"data\.(?!max_length$|mixture|curriculum)": "the data are prepared once, so that all trials see the same rows",
    r"base": "one base is tried with many settings; `tunesmith plan SPEC --bases a,b` compares bases",
    r"prompt\.seed|train\.\d+\.seed": "it would pick the luckiest of equal trainings; evaluate.seeds shows the spread",
    r"train\.\d+\.(watch|validate_every)": "it decides when trials are measured, by which they are compared",
    r"train\.\d+\.(micro_batch|checkpointing|freeze\.cache)": "it changes no result",
    r"train\.\d+\.replay": "the data are prepared once for all trials, older rows among them",
    r"train\.\d+\.objective\.teacher": "teachers are opened once for all trials",
    r"train\.\d+\.regularize\.private": "it is a promise about the rows, and no setting to be tried",
}
"""Paths that no search may vary, and why."""
_OTHER_LOSS = {
    r"train\.\d+\.objective": "it changes the loss itself, by which trials are compared; seek a metric",
    r"data\.max_length": "the loss would be one of other tokens; seek a metric",
}
"""Nor those where it is the loss that is sought."""


def change(path: str, value: Value) -> str:
    """An override that puts a value in."""
    return f"{path}={json.dumps(value)}"


def with_stage(path: str, stages: int) -> str:
    """A path with the number of its stage, as `train.0.optimizer.lr`; of several stages, the last is meant."""
    rest = path.removeprefix("train.")
    return path if rest == path or rest[:1].isdigit() else f"train.{stages - 1}.{rest}"


def written_dimensions(spec: Spec, written: Written) -> tuple[Dimension, ...]:
    """What `search.vary` says, every value of it held against the models of the spec.

    Raises:
        SpecError: with all that is wrong.
    """
    varied = spec.search.vary or {}
    problems: list[Problem] = []
    found: list[Dimension] = []
    for said, vary in varied.items():
        where = f"{_line(written, said)} search.vary.{said}"
        path = written.own_path(with_stage(said, len(spec.train)))
        wrong = _refusal(spec, path) or _clash(path, [dimension.path for dimension in found])
        if wrong is None:
            wrong = next((f"{_shown(v)}: {what}" for v in _tried(vary) if (what := _wrong(written, path, v))), None)
        if wrong is not None:
            problems.append(Problem(where, wrong))
            continue
        found.append(_dimension(written, path, vary, f"written {_line(written, said)}"))
    if spec.search.sampler == "grid" and not problems:
        problems += [
            Problem(
                f"{_line(written, dimension.path)} search.vary.{dimension.path}",
                "a grid over a range needs a step, as {low: 0, high: 0.2, step: 0.05}, or a list of values",
            )
            for dimension in found
            if size([dimension]) is None
        ]
        if not problems and (size(found) or 0) > MOST_POINTS:
            problems.append(Problem(_line(written, ""), f"the grid has {size(found):,} points; use fewer values"))
    if problems:
        raise SpecError(problems)
    return tuple(found)


def _line(written: Written, path: str) -> str:
    return written.where(f"search.vary.{path}").partition(" search")[0]


def _shown(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False)


def _clash(path: str, others: Sequence[str]) -> str | None:
    for other in others:
        if path == other or path.startswith(f"{other}.") or other.startswith(f"{path}."):
            return f"{other} is varied too, and one lies within the other; keep one"
    return None


def _refusal(spec: Spec, path: str) -> str | None:
    numbered = re.sub(r"^train\.(?!\d)", "train.0.", path)
    for pattern, why in _REFUSED.items():
        if re.match(rf"(?:{pattern})(?:\b|$)", numbered):
            return f"a search does not vary this: {why}"
    if path == "data.max_length" and spec.data.too_long != "truncate":
        return f"with data.too_long: {spec.data.too_long} each length keeps other rows; write truncate"
    return None


def _tried(vary: Vary) -> list[Value]:
    """Every choice, or both ends of a range."""
    return vary.choices if vary.choices is not None else [_number(vary.low), _number(vary.high)]


def _number(value: float | None) -> Value:
    return int(value) if value is not None and float(value).is_integer() else value


def _wrong(written: Written, path: str, value: Value) -> str | None:
    """What the spec has against a value; None where it takes it."""
    try:
        changed(written, [change(path, value)])
    except SpecError as error:
        return "; ".join(dict.fromkeys(problem.what for problem in error.problems))
    return None


def _dimension(written: Written, path: str, vary: Vary, why: str) -> Dimension:
    if vary.choices is not None:
        return Dimension(path, "choice", choices=tuple(vary.choices), why=why)
    assert vary.low is not None and vary.high is not None
    between = vary.low + (vary.high - vary.low) * 0.37
    whole = between.is_integer() or _wrong(written, path, between) is not None
    kind: Any = "int" if whole else "float"
    return Dimension(path, kind, vary.low, vary.high, vary.log, vary.step, why=why)


# Once the data are known ------------------------------------------------------------------------


def check_resolved(
    dimensions: Sequence[Dimension],
    aims: Sequence[Aim],
    request: Request,
    base: Written,
    resolve: Callable[[Spec, Written], Resolved],
) -> None:
    """Refuses values that cannot be done with these data and this base.

    Args:
        dimensions: of the search.
        aims: what it seeks.
        request: what is asked for.
        base: the spec into which values are put.
        resolve: fills in what a spec leaves open.

    Raises:
        SpecError: with all that is wrong.
    """
    problems = []
    for dimension in dimensions:
        where = f"{_line(request.written, dimension.path)} search.vary.{dimension.path}"
        numbered = re.sub(r"^train\.(?!\d)", "train.0.", dimension.path)
        for pattern, why in _OTHER_LOSS.items():
            if aims[0].name == "loss" and re.match(pattern, numbered):
                problems.append(Problem(where, why))
        values = dimension.choices or (_number(dimension.low), _number(dimension.high))
        for value in values:
            try:
                resolve(*changed(base, [change(dimension.path, value)]))
            except SpecError as error:
                what = "; ".join(problem.what for problem in error.problems)
                problems.append(Problem(where, f"{_shown(value)}: {what}"))
                break
    if problems:
        raise SpecError(problems)


def aims_of(job: Job, request: Request) -> tuple[Aim, ...]:
    """What is sought; by default the figure that decides which weights of a training are kept.

    Raises:
        SpecError: one is not measured on the validation rows.
    """
    stage, where = job.spec.train[-1], request.written.where("search.aims")
    if not job.splits["validation"]:
        raise SpecError([Problem(where, "there are no validation rows; give data.split.validation a share")])
    figures = [watcher.figure for watcher in cast(list[Watcher], stage.watch or [])]
    names = job.spec.search.aims or [next((figure for figure in figures if figure), "loss")]
    known = {metric.name: metric.better for metric in measured_metrics(job, stage, len(job.spec.train) - 1)}
    found, problems = [], []
    for name in names:
        if name in COST:
            found.append(COST[name])
        elif name == "loss" or name in known:
            way = better("loss") if name == "loss" else known[name]
            found.append(Aim(name, "maximize" if way == "higher" else "minimize"))
        else:
            measured = ", ".join(["loss", *known, *COST])
            problems.append(
                Problem(where, f"{name!r} is not measured on validation rows while training; {measured} are")
            )
    if found and not problems and found[0].name in {aim.name for aim in COST.values()}:
        problems.append(Problem(where, f"{names[0]} alone is best in a model that learns nothing; name quality first"))
    if problems:
        raise SpecError(problems)
    return tuple(found)


def value_in(spec: Spec, path: str) -> Value:
    """What stands at a path of a resolved spec, as JSON; None where there is no such place."""
    tree: Any = spec.model_dump(mode="json")
    at: Any = spec
    for key in re.sub(r"^train\.(?!\d)", "train.0.", path).split("."):
        inner = isinstance(tree, list) and key.isdigit() and int(key) < len(tree)
        if not inner and not (isinstance(tree, dict) and key in tree):
            return None
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
        at = at[int(key)] if isinstance(at, list) else at.get(key) if isinstance(at, dict) else getattr(at, key, None)
    return at.value if isinstance(at, Quantity) and at.unit == at.plain else tree


def first_values(spec: Spec, dimensions: Sequence[Dimension], same: Callable[[str, Value], bool]) -> dict[str, Value]:
    """The values that the spec has as it is, in the words of the space where they lie in it.

    Args:
        spec: resolved.
        dimensions: of the search.
        same: whether a choice of a path comes to what the spec has there.
    """
    return dict(_first(spec, dimensions, same))


def _first(
    spec: Spec, dimensions: Sequence[Dimension], same: Callable[[str, Value], bool]
) -> Iterator[tuple[str, Value]]:
    for dimension in dimensions:
        value = value_in(spec, dimension.path)
        if dimension.kind == "choice":
            value = next((choice for choice in dimension.choices if same(dimension.path, choice)), value)
        elif dimension.kind == "int" and isinstance(value, float) and value.is_integer():
            value = int(value)
        yield dimension.path, value
