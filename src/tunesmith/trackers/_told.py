"""What a run has told: rows of figures from its diary, and facts from the files of its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.events import Tail
from tunesmith.runs import Run, fingerprint, read_json

FIGURES = ("loss", "lr", "grad_norm", "tokens_per_second", "memory_mb", "epoch", "tokens_seen")
"""What is sent of a training step, beside the objective's own figures."""

Key = tuple[str, str, int]
"""(kind, stage, step)"""


@dataclass(frozen=True)
class Row:
    """Figures of one training step, or of one validation."""

    number: int
    """Its place in the order in which rows were first told, from 0; a run that goes on does not change it."""
    stage: str
    step: int
    at: float
    """Seconds since the epoch."""
    values: Mapping[str, float]
    """`train-1/loss`, `train-1/validation/accuracy`; a figure that was not finite is NaN or infinite."""


@dataclass(frozen=True)
class Facts:
    """What is known of a whole run."""

    name: str
    """`triage/1`"""
    id: str
    """16 hex digits that no other run has, wherever its folder stands."""
    began: float
    ended: float | None
    """When the run was complete; None before."""
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """The resolved spec, `train.0.optimizer.lr`."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Verdict and digests."""
    finals: Mapping[str, float] = field(default_factory=dict)
    """`test/accuracy/tuned`, with `.../low` and `.../high` where there is an interval."""


class Told:
    """Reads a run's diary onwards from where it was read to.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._diary = Tail(run / "events.jsonl")
        self._numbers: dict[Key, int] = {}

    def rows(self) -> list[Row]:
        """The rows told since the last call, in order of their numbers; of two words on a step, the last.

        A resumed run tells steps again: they come again under their old numbers.
        """
        last: dict[Key, dict[str, Any]] = {}
        for event in self._diary.new():
            if event["kind"] in ("step", "validation") and isinstance(event.get("step"), int):
                key = (str(event["kind"]), str(event.get("stage", "train")), int(event["step"]))
                self._numbers.setdefault(key, len(self._numbers))
                last[key] = event
        rows = [
            Row(self._numbers[key], key[1], key[2], float(event.get("at", 0.0)), _values(event))
            for key, event in last.items()
        ]
        return sorted(rows, key=lambda row: row.number)

    def facts(self) -> Facts:
        """What the run's files say of it now."""
        run = self.run
        spec, manifest = _read(run, "spec.json"), run / "manifest.json"
        first: dict[str, Any] = next(iter(Tail(run / "events.jsonl").new()), {})
        return Facts(
            name=str(run),
            id=fingerprint([str(run), spec.get("request"), first.get("at")]),
            began=float(first.get("at", 0.0)),
            ended=manifest.stat().st_mtime if manifest.exists() else None,
            parameters=dict(_leaves(spec.get("spec", {}))),
            tags=_tags(run),
            finals=dict(_finals(run)),
        )


def _values(event: dict[str, Any]) -> dict[str, float]:
    stage = event.get("stage", "train")
    if event["kind"] == "validation":
        named = {f"{stage}/validation/{name}": value for name, value in (event.get("figures") or {}).items()}
    else:
        named = {f"{stage}/{name}": event.get(name) for name in FIGURES}
        named |= {f"{stage}/{name}": value for name, value in (event.get("metrics") or {}).items()}
    return {name: float(value) for name, value in named.items() if value is not None}


def _read(run: Run, name: str) -> dict[str, Any]:
    """A JSON file of the run; empty before it is written."""
    said = read_json(run / name) if (run / name).exists() else {}
    return said if isinstance(said, dict) else {}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str | int | float | bool]]:
    if isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(one, (dict, list)) for one in value)):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value))
    elif value is not None:
        yield path, value


def _tags(run: Run) -> dict[str, str]:
    verdict, lineage, environment = (
        _read(run, name) for name in ("evaluation/verdict.json", "lineage.json", "environment.json")
    )
    base = lineage.get("base") or {}
    found = {
        "verdict": verdict.get("decision"),
        "verdict.reason": verdict.get("reason"),
        "base": base.get("reference"),
        "base.digest": base.get("digest"),
        "data.digest": fingerprint([file["sha256"] for file in lineage["data"]]) if lineage.get("data") else None,
        "model.digest": lineage.get("model_digest"),
        "spec.digest": lineage.get("spec_digest"),
        "code.digest": lineage.get("code_digest"),
        "tunesmith": environment.get("tunesmith"),
        "device": environment.get("device"),
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def _finals(run: Run) -> Iterator[tuple[str, float]]:
    for measure in _read(run, "evaluation/comparison.json").get("measures", ()):
        over = {f"over {arm}": difference for arm, difference in measure.get("differences", {}).items()}
        estimates = {**measure["arms"], **over}
        for arm, estimate in estimates.items():
            name = f"test/{measure['name']}/{arm}"
            if estimate is None or estimate["value"] is None:
                continue
            yield name, float(estimate["value"])
            for end, bound in zip(("low", "high"), estimate["interval"] or (), strict=False):
                if bound is not None:
                    yield f"{name}/{end}", float(bound)
