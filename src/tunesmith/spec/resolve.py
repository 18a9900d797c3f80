"""A written spec and the facts of its data and base -> a spec with nothing left open, and the origin of every value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from tunesmith.errors import Problem, SpecError
from tunesmith.part import METRICS, OPTIMIZERS
from tunesmith.spec import derive
from tunesmith.spec.derive import Derived, Facts
from tunesmith.spec.load import Written
from tunesmith.spec.overrides import COMMAND_LINE
from tunesmith.spec.problems import explain
from tunesmith.spec.quantity import Batch, Duration, Length
from tunesmith.spec.sections import Spec

__all__ = ["Facts", "Resolved", "resolve", "resolve_early"]


@dataclass(frozen=True)
class Resolved:
    """A spec in which nothing needed is None any more."""

    spec: Spec
    origins: dict[str, str]
    """Dotted path of every value -> `written triage.yaml:4`, `default`, or `derived: reason`."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; what `spec.json` holds."""
        return {"spec": self.spec.model_dump(mode="json"), "origins": self.origins}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Resolved:
        """The inverse of `to_json`.

        Raises:
            SpecError: it names parts that are no longer installed, or was written by another version.
        """
        try:
            return cls(Spec.model_validate(value["spec"]), dict(value["origins"]))
        except ValidationError as error:
            said = explain(error, value["spec"])
            problems = [Problem(f"spec.json {'.'.join(map(str, path))}", what) for path, what in said]
            raise SpecError(problems) from error


def resolve_early(spec: Spec) -> Spec:
    """Fills in what has to be known before the data are read: the steps, and the template where the task is written."""
    draft = _Draft(spec.model_dump(mode="json"))
    _fill_early(draft)
    return Spec.model_validate(draft.tree)


def resolve(spec: Spec, written: Written, facts: Facts) -> Resolved:
    """Fills in everything that was left out.

    Args:
        spec: what `load` returned.
        written: where its values stand.
        facts: what is known of the data, the base and the machine.

    Raises:
        SpecError: what is written cannot be done with these data and this base.
    """
    crowded = list(_crowded(spec, facts))
    if not crowded:
        facts = replace(facts, context=facts.context - _virtual_tokens(spec))
    draft = _Draft(spec.model_dump(mode="json"))
    task = draft.fill("goal.task", derive.task(facts))
    _fill_early(draft)
    if facts.shape == "label" and draft.get("data.split.group") is None and draft.get("data.split.time") is None:
        draft.fill("data.split.stratify", derive.stratify())
    data = spec.data
    validated = data.split.validation.value > 0 or any(source.split == "validation" for source in data.sources)
    objectives = [
        _kind(
            draft.fill(
                f"train.{number}.objective", derive.objective(facts, task, asked=spec.prompt.wordings != "first")
            )
        )
        for number in range(len(spec.train))
    ]
    prose = facts.shape == "text" and "pretrain" in objectives
    length = Length.parse(draft.fill("data.max_length", derive.max_length(facts, prose=prose)))
    draft.fill("evaluate.arms", derive.arms(facts, objectives[-1]))
    metrics = draft.fill("evaluate.metrics", derive.metrics(facts, task, objectives[-1]))
    named = [*metrics, *(target["metric"] for target in draft.get("goal.targets"))]
    if any(getattr(METRICS.load(_kind(metric)), "rows", "test") == "retention" for metric in named):
        draft.fill("evaluate.retention", derive.retention())
    if changed := [metric for metric in named if _kind(metric) == "robustness"]:
        draft.fill("evaluate.robustness", derive.robustness(changed))
    if (explained := derive.explain(map(_kind, named))) is not None:
        draft.fill("evaluate.explain", explained)
    for number, objective in enumerate(objectives):
        fresh = spec.base.initialize == "random" and number == 0
        # Only the last stage is measured by the metrics of the whole.
        measured = [_kind(metric) for metric in metrics] if number == len(objectives) - 1 else []
        _fill_stage(draft, f"train.{number}", facts, objective, length, fresh=fresh)
        draft.fill(f"train.{number}.watch", derive.watch(objective, measured, validated=validated))
    draft.fill("evaluate.max_new_tokens", derive.max_new_tokens(facts))
    if (asked := derive.privacy(spec)) is not None:
        draft.fill("evaluate.privacy", asked)
    draft.fill("scale.devices", derive.devices(facts))
    filled = Spec.model_validate(draft.tree)
    unfound = _nothing_to_find(filled, draft.reasons)
    if conflicts := [*crowded, *_conflicts(filled, facts, validated=validated), *unfound]:
        raise SpecError([Problem(written.where(path), what) for path, what in conflicts])
    return Resolved(filled, _origins(filled, written, draft.reasons))


class _Draft:
    """A spec's plain values while they are filled in."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.tree = tree
        self.reasons: dict[str, str] = {}

    def get(self, path: str) -> Any:
        at: Any = self.tree
        for key in path.split("."):
            at = at[int(key)] if isinstance(at, list) else at[key]
        return at

    def fill(self, path: str, derived: Derived, *, instead_of: Any = None) -> Any:
        """Puts `derived` where nothing (or `instead_of`) stands; returns what stands there then."""
        standing = self.get(path)
        return self.put(path, derived) if standing == instead_of else standing

    def put(self, path: str, derived: Derived) -> Any:
        """Puts `derived` there, whatever stands there."""
        above, _, key = path.rpartition(".")
        holder = self.get(above)
        if isinstance(holder, list):
            holder.insert(int(key), derived.value)
        else:
            holder[key] = derived.value
        for leaf, _value in _leaves(derived.value, path):
            self.reasons[leaf] = derived.reason
        return derived.value


def _fill_early(draft: _Draft) -> None:
    steps = draft.fill("data.steps", derive.steps())
    named = derive.identity_terms(steps, draft.get("evaluate.fairness"))
    if named is not None:
        draft.put(f"data.steps.{len(steps)}", named)
    if (folds := draft.get("evaluate.folds")) is not None:
        for share, derived in derive.shares_of_all(folds, draft.get("data.split")).items():
            draft.put(f"data.split.{share}", derived)
    if (task := draft.get("goal.task")) is not None:
        draft.fill("prompt.template", derive.template(task))


def _fill_stage(draft: _Draft, at: str, facts: Facts, objective: str, length: Length, *, fresh: bool) -> None:
    adapter = _kind(draft.fill(f"{at}.adapter", derive.adapter(facts, fresh=fresh)))
    optimizer = draft.fill(f"{at}.optimizer", derive.optimizer())
    if "lr" in optimizer:
        pace = getattr(OPTIMIZERS.load(_kind(optimizer)), "pace", 1.0)
        rate = draft.fill(f"{at}.optimizer.lr", derive.learning_rate(facts, adapter, objective, fresh=fresh, pace=pace))
        draft.fill(f"{at}.optimizer.head", derive.head(facts, adapter, rate, pace=pace))
    duration = Duration.parse(draft.fill(f"{at}.duration", derive.duration(facts, objective, fresh=fresh)))
    batch = Batch.parse(draft.fill(f"{at}.batch", derive.batch(facts, objective)))
    draft.fill(f"{at}.micro_batch", derive.micro_batch(facts, batch, length))
    draft.fill(f"{at}.schedule", derive.schedule(objective))
    draft.fill(f"{at}.validate_every", derive.validate_every(facts, duration, batch))
    if draft.get(f"{at}.regularize.private") is not None:
        draft.fill(f"{at}.regularize.private.delta", derive.delta(facts))
    draft.fill(f"{at}.precision", derive.precision(facts), instead_of="auto")


def _kind(part: dict[str, Any]) -> str:
    kind: str = part["kind"]
    return kind


_SHAPES_FOR_NEED = {
    "chat": ("chat", "pair", "label", "spans"),  # templates turn labels and spans into conversations
    "label": ("label",),
    "spans": ("spans",),
}


def _virtual_tokens(spec: Spec) -> int:
    """Tokens of the base's context that adapters take from rows."""
    return max(getattr(stage.adapter, "takes_context", 0) for stage in spec.train)


def _crowded(spec: Spec, facts: Facts) -> Iterator[tuple[str, str]]:
    """Adapters that leave less than half of the context to a row: (path, what) pairs."""
    for number, stage in enumerate(spec.train):
        if 2 * (taken := getattr(stage.adapter, "takes_context", 0)) > facts.context:
            what = f"{taken} virtual tokens leave too little of a context of {facts.context}; write at most"
            yield f"train.{number}.adapter.length", f"{what} {facts.context // 2}"


def _conflicts(spec: Spec, facts: Facts, *, validated: bool) -> Iterator[tuple[str, str]]:
    """What cannot be done with these data and this base: (path, what) pairs."""
    assert spec.data.max_length and spec.evaluate.arms
    if spec.data.max_length.value > facts.context:
        beside = f" beside {taken} virtual ones" if (taken := _virtual_tokens(spec)) else ""
        what = f"{spec.data.max_length} are more than the base can read{beside}, {facts.context:,} tokens"
        yield "data.max_length", what
    for number, stage in enumerate(spec.train):
        path = f"train.{number}"
        assert stage.objective and stage.watch is not None
        kind = stage.objective.kind
        need, head = getattr(stage.objective, "need", ""), getattr(stage.objective, "head", "")
        labelled = need == "label" and facts.num_labels > 0
        if facts.shape not in _SHAPES_FOR_NEED.get(need, (facts.shape,)) and not labelled:
            yield f"{path}.objective", f"{kind} learns from {_NEEDS[need]}, and the rows are of shape {facts.shape!r}"
        if spec.prompt.wordings != "first" and need != "chat":
            yield (
                "prompt.wordings",
                f"vary what a model is asked in words, and {kind} asks nothing; leave them out, or learn by sft",
            )
        if facts.family == "encoder" and head == "lm":
            yield (
                f"{path}.objective",
                f"{kind} needs a base that writes; this one is an encoder, for classify or tag",
            )
        if any(getattr(watcher, "figure", None) for watcher in stage.watch) and not validated:
            yield f"{path}.watch", "there are no validation rows to go by; give data.split.validation a share"
    yield from _not_private(spec)
    yield from _arms_that_cannot(spec, facts)


def _not_private(spec: Spec) -> Iterator[tuple[str, str]]:
    """What a private training cannot be done with, since its promise would not hold: (path, what) pairs."""
    private = [number for number, stage in enumerate(spec.train) if stage.regularize.private]
    if not private:
        return
    path, stage = f"train.{private[0]}", spec.train[private[0]]
    assert stage.batch and stage.duration and stage.objective
    if len(spec.train) > 1:
        yield (
            f"{path}.regularize.private",
            "a private training is one stage: what other stages learn of the rows is not counted",
        )
    if stage.batch.unit != "rows":
        yield f"{path}.batch", "rows are drawn by chance, each with the same; write how many on average, `32 rows`"
    if stage.duration.unit not in ("epochs", "steps"):
        yield f"{path}.duration", "noise goes by the number of steps, which must be known before; write epochs or steps"
    if stage.replay:
        yield f"{path}.replay", "older rows are drawn otherwise than the new; leave replay out, or make them a source"
    if stage.freeze and stage.freeze.unfreeze:
        yield f"{path}.freeze.unfreeze", "noise is drawn for the same weights at every step; leave unfreeze out"
    if stage.objective.kind == "distill":
        yield f"{path}.objective", "what the teacher knows of the rows is not counted; learn from the rows themselves"
    if getattr(stage.objective, "fair_by", None):
        yield (
            f"{path}.objective.fair_by",
            "groups are compared among the rows of a step, and those are taken one by one",
        )
    if spec.data.mixture or spec.data.curriculum:
        named = "mixture" if spec.data.mixture else "curriculum"
        yield f"data.{named}", "rows are drawn by chance, each with the same, which leaves no order and no shares"
    if spec.prompt.examples:
        yield "prompt.examples", "a training row shown before others is learned with all of them; leave examples out"
    if (spec.scale.devices or 1) > 1:
        yield "scale.devices", "a private training is done by one process; write 1"
    for number, step in enumerate(spec.data.steps or ()):
        if getattr(step, "rows", "all") == "train" and step.kind != "canaries":
            yield (
                f"data.steps.{number}",
                f"{step.kind} lets a row show in others; a private training takes rows as they are",
            )


FOUND = {"lr": "optimizer.lr", "batch": "micro_batch"}
"""What can be found before a stage, and the setting of the stage that it takes the place of."""


def _nothing_to_find(spec: Spec, reasons: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is to be found and written both, or must not be looked for: (path, what) pairs."""
    for what in spec.find:
        path = FOUND[what]
        if not any(f"train.{number}.{path}" in reasons for number in range(len(spec.train))):
            yield "find", f"train.{path} is written; leave it out to have it found, or leave {what} out of find"
    if spec.find and any(stage.regularize.private for stage in spec.train):
        yield "find", "what is seen of the rows while looking is not counted in a private training; leave it out"


_NEEDS = {"chat": "answers", "label": "labels", "spans": "labelled stretches"}


def _arms_that_cannot(spec: Spec, facts: Facts) -> Iterator[tuple[str, str]]:
    """Arms that cannot answer these rows: (path, what) pairs."""
    last = spec.train[-1].objective
    questions = getattr(last, "need", "") != "text"
    for number, arm in enumerate(spec.evaluate.arms or ()):
        path, asks = f"evaluate.arms.{number}", getattr(arm, "asks", "")
        if facts.family == "encoder" and asks == "base":
            yield path, f"{arm.kind} asks the base, and an encoder cannot answer unaided; leave it out"
        elif asks == "tuned" and getattr(last, "head", "") != "lm":
            yield (
                path,
                f"{arm.kind} asks the tuned model in words, and its head gives labels; ask another, or leave it out",
            )
        elif getattr(arm, "asks_anew", False) and not questions:
            yield path, f"{arm.kind} asks questions, and the rows are prose; leave it out"
        if getattr(arm, "of_labels", False) and not (facts.num_labels or (questions and spec.goal.task == "classify")):
            yield path, f"{arm.kind} gives labels, and the rows carry none; leave it out"
    if all(arm.kind != "tuned" for arm in spec.evaluate.arms or ()):
        yield "evaluate.arms", "the verdict rests on the tuned model; add tuned"


def _origins(spec: Spec, written: Written, reasons: Mapping[str, str]) -> dict[str, str]:
    return {path: _origin(path, written, reasons) for path, _ in _leaves(spec.model_dump(mode="json"), "")}


def _origin(path: str, written: Written, reasons: Mapping[str, str]) -> str:
    if path in reasons:
        return f"derived: {reasons[path]}"
    said = written.own_path(path)
    parent, _, key = said.rpartition(".")
    if key in ("kind", "path") and isinstance(_written_at(written.tree, parent), str):
        said = parent  # a bare name stands for {kind: name}, a bare path for {path: path}
    line = written.lines.get(said)
    if line is None:
        return "default"
    return f"written ({line})" if line == COMMAND_LINE else f"written {line}"


def _written_at(tree: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(tree, dict):
            tree = tree.get(key)
        elif isinstance(tree, list) and key.isdigit():
            tree = tree[int(key)]
        else:
            return None
    return tree


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything that holds nothing further."""
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not inner or not value:
        yield path, value
    for key, below in inner:
        yield from _leaves(below, f"{path}.{key}" if path else str(key))
