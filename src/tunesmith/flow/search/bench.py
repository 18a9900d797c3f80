"""What all trials of a study share: the rows, prepared once and without the test rows, and what becomes of them.

A study's folder holds `spec.yaml` as written, `spec.json` resolved, `study.json` with what was asked, `data/` with the
rows to train on and to validate by, and `trials/`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith.data.disk.tables import write_records
from tunesmith.data.encode.tokenize import Encoded
from tunesmith.data.split import Pool
from tunesmith.errors import Problem, SpecError
from tunesmith.flow.data.prepare import Job, facts_of, measured
from tunesmith.flow.data.ready import make_ready
from tunesmith.flow.environment import environment, threads
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request, request_of
from tunesmith.flow.run import load_job
from tunesmith.flow.search.space import (
    aims_of,
    change,
    check_resolved,
    first_values,
    value_in,
    with_stage,
)
from tunesmith.flow.training import encode_splits
from tunesmith.models.layers.kept import Keeper
from tunesmith.runs import Run, fingerprint, list_runs, new_run, read_json, write_json, write_text
from tunesmith.search.sampling import Asked, settled
from tunesmith.search.study import Dimension, Study
from tunesmith.spec.load import Written, changed
from tunesmith.spec.resolve import Facts, resolve
from tunesmith.spec.rooms.search import Search
from tunesmith.spec.sections import Train

SEEN: tuple[Pool, ...] = ("train", "validation")
"""The splits of a study. What is tested with is none of them: it is not written, and no trial can read it."""
LOOKS = 9
"""How often a trial is measured: so that there is a look after a third of it, when asha lets one in three go on."""
TRUNK = "trunk"
"""The folder of what frozen layers said, as long as trials need it."""
KEPT = 4
"""Encodings that a process keeps: examples are on disk, and those of most studies are one."""


@dataclass
class Bench:
    """A study's material, and the job of each trial. There is one in each process that trains."""

    run: Run
    """The study's folder."""
    asked: Asked
    request: Request
    """The spec into which values are put."""
    job: Job
    """Its records; the spec as it is."""
    facts: Facts
    """The rows' lengths aside."""
    threads: int
    keeper: Keeper
    """What frozen layers say, for all trials of all processes in which they say the same."""
    _facts: dict[str, Facts] = field(default_factory=dict)
    _encoded: OrderedDict[str, tuple[Encoded, Encoded]] = field(default_factory=OrderedDict)

    @classmethod
    def open(cls, run: Run, spec_path: Path, workspace: Path) -> Bench:
        """The bench of a study, from its folder."""
        said = read_json(run / "study.json")
        written = Written(spec_path, "", said["tree"], said["lines"])
        spec, _ = changed(written, [])
        request = replace(request_of(run, spec_path, workspace), spec=spec, written=written)
        rules = Search.model_validate(said["rules"])
        study = Study.from_json({**said["study"], "number": run.number, "wanted": rules.trials})
        asked = Asked(study, rules, said["first"])
        job = load_job(run, request, SEEN)
        # What layers said of rows tells of the rows, so where those are encrypted it stays in memory.
        keeper = Keeper(None if job.spec.data.encrypt else run / TRUNK)
        return cls(run, asked, request, job, Facts(**said["facts"]), said["threads"], keeper)

    @property
    def first_stage(self) -> int:
        """The first stage that differs between trials; those before it are trained once."""
        return first_stage(self.asked.dimensions, len(self.job.spec.train))

    def variant(self, params: dict[str, Any] | None) -> tuple[Request, Job]:
        """The request and job of a trial with these values; of the spec as it is with None."""
        changes = [change(path, value) for path, value in (params or {}).items()]
        spec, written = changed(self.request.written, changes)
        request = replace(self.request, spec=spec, written=written)
        return request, replace(self.job, resolved=resolve(spec, written, self._measured(request)))

    def _measured(self, request: Request) -> Facts:
        """The facts with the lengths of rows, which the prompt and what is learned decide."""
        spec = request.spec
        name = fingerprint([spec.prompt.model_dump(mode="json"), _dumped(spec.train[-1].objective)])
        if name not in self._facts:
            self._facts[name] = measured(request, self.job, self.facts)
        return self._facts[name]

    def encoded(self, job: Job, number: int, narrator: Narrator) -> tuple[Encoded, Encoded]:
        """The rows of a stage as tokens: made once in a process for all trials in which the same becomes of them."""
        spec, stage = job.spec, job.spec.train[number]
        objective = job.objective(stage)
        shape = [spec.prompt.model_dump(mode="json"), str(spec.data.max_length), objective.need, spec.goal.task]
        name = fingerprint([*shape, stage.replay and number])
        if name not in self._encoded:
            self._encoded[name] = encode_splits(job, number, narrator)
            if len(self._encoded) > KEPT:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(name)
        return self._encoded[name]


def _dumped(part: Any) -> Any:
    return None if part is None else part.settings()


def first_stage(dimensions: Sequence[Dimension], stages: int) -> int:
    """The lowest stage that one of the paths changes; rows and prompts change all of them."""
    if stages == 1:
        return 0
    numbers = [d.path.split(".")[1] if d.path.startswith("train.") else "0" for d in dimensions]
    return min(map(int, numbers))


def study_print(request: Request) -> str:
    """Equal for the same search of the same spec on the same content. With more trials it goes on."""
    return fingerprint([request.fingerprint, request.spec.search.model_dump(mode="json", exclude={"trials"})])


def find_study(request: Request) -> Run | None:
    """The latest study that was asked for exactly this."""
    for run in reversed(list_runs(request.workspace / "studies", request.spec.name)):
        if (run / "study.json").exists() and read_json(run / "study.json")["request"] == study_print(request):
            return run
    return None


def begin_study(request: Request, dimensions: tuple[Dimension, ...], narrator: Narrator) -> Run:
    """Prepares the data and makes the study's folder: whole, or not at all.

    Raises:
        UserError: whatever would keep the run from starting, or what is varied cannot be done.
    """
    with narrator.stage("data"):
        variants = [
            changed(request.written, [change(dimension.path, value)])[0]
            for dimension in dimensions
            for value in dimension.choices
        ]
        job, collected, _ = make_ready(request, narrator, variants)  # every row goes through the gates of a run
        job = replace(job, splits={pool: records for pool, records in job.splits.items() if pool != "test"})
        aims = aims_of(job, request)
        facts = facts_of(request, collected.survey, len(job.splits["train"]))
        ready = measured(request, job, facts)
        dimensions = dimensions or default_dimensions(request, job)
        base = pinned(request, job, dimensions)
        check_resolved(dimensions, aims, request, base, partial(resolve, facts=ready))
        rules = _rules(job, request, dimensions, len(aims))

        def same(path: str, value: Any) -> bool:
            resolved = resolve(*changed(base, [change(path, value)]), facts=ready)
            return bool(value_in(resolved.spec, path) == value_in(job.spec, path))

        study = Study(request.spec.name, 0, aims, dimensions, rules.sampler, rules.pruner or "none", rules.trials)

        def fill(folder: Path) -> None:
            write_text(folder / "spec.yaml", request.written.text)
            write_json(folder / "environment.json", environment())
            for pool, records in job.splits.items():
                write_records(folder / "data" / f"{pool}.parquet", records, sealed=job.spec.data.encrypt)
            write_json(folder / "spec.json", job.to_json())
            write_json(
                folder / "study.json",
                {
                    "request": study_print(request),
                    "study": study.to_json(),
                    "rules": rules.model_dump(mode="json"),
                    "first": first_values(job.spec, dimensions, same),
                    "tree": base.tree,
                    "lines": base.lines,
                    "facts": asdict(facts),
                    "threads": max(1, threads() // request.spec.scale.jobs),
                },
            )

        return new_run(request.workspace / "studies", request.spec.name, fill)


def default_dimensions(request: Request, job: Job) -> tuple[Dimension, ...]:
    """What is usually worth varying in the last stage."""
    from tunesmith.search.spaces import default_space

    stages = len(request.spec.train)
    number = stages - 1
    found = default_space(
        job.spec.train[number],
        rows=len(job.splits["train"]),
        parameters=request.base.num_parameters,
        head=job.objective(job.spec.train[number]).head,
    )
    return tuple(replace(each, path=request.written.own_path(with_stage(each.path, stages))) for each in found)


def pinned(request: Request, job: Job, dimensions: Sequence[Dimension]) -> Written:
    """The spec with the derived parts written out in which something is varied: one more value must not undo them."""
    written = request.written
    for dimension in dimensions:
        keys = dimension.path.split(".")
        for depth in range(1, len(keys)):
            at = ".".join(keys[:depth])
            part = value_in(job.spec, at)
            if isinstance(part, dict) and "kind" in part and _standing(written, at) is None:
                put = change(at, {key: part[key] for key in part if _derived(job, at, key)})
                value = dimension.choices[0] if dimension.choices else dimension.low
                try:
                    changed(written, [put, change(dimension.path, value)])
                except SpecError:  # the derived kind has no such setting: the family's usual one is meant
                    continue
                written = changed(written, [put])[1]
    return written


def _derived(job: Job, at: str, key: str) -> bool:
    """Whether a setting of a part was derived; a learning rate goes by what else is varied."""
    numbered = at if at[6:7].isdigit() else at.replace("train.", "train.0.", 1)
    return key != "lr" and job.resolved.origins.get(f"{numbered}.{key}", "").startswith("derived")


def _standing(written: Written, path: str) -> Any:
    tree: Any = written.tree
    for key in path.split("."):
        tree = tree[int(key)] if isinstance(tree, list) else tree.get(key) if isinstance(tree, dict) else None
    return tree


def _rules(job: Job, request: Request, dimensions: Sequence[Dimension], aims: int) -> Search:
    """The search with nothing left open.

    Raises:
        SpecError: a setting has no effect.
    """
    rules, stage, written = request.spec.search, job.spec.train[-1], request.spec.train[-1].validate_every
    if rules.looks is not None and written is not None:
        where = request.written.where("search.looks")
        raise SpecError([Problem(where, f"train.validate_every says it already: {written}; leave one of them out")])
    pruner = rules.pruner or ("asha" if aims == 1 else "none")
    if pruner != "none" and aims > 1:
        raise SpecError([Problem(request.written.where("search.pruner"), "a pruner looks at one aim alone")])
    looks = rules.looks or (LOOKS if written is None else _looks(stage))
    return settled(rules.model_copy(update={"pruner": pruner, "looks": looks}), len(dimensions))


def _looks(stage: Train) -> int:
    """About how often a stage is measured, where the spec says how often."""
    every, duration = stage.validate_every, stage.duration
    assert every is not None and duration is not None, "a resolved spec has them"
    if every.unit == duration.unit:
        return max(1, math.ceil(duration.value / every.value))
    return LOOKS
