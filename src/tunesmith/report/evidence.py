"""What a run left behind, read once and only when asked for.

A file that is missing is None; one that cannot be read is None too, and `Evidence.problems` says why.
Specs are read as plain values: opening an objective would import torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from tunesmith.data.ledger import Ledger
from tunesmith.evaluate.caveats.contamination import Contamination
from tunesmith.evaluate.comparison import Comparison
from tunesmith.evaluate.explain.found import Explanation
from tunesmith.evaluate.fairness.found import Fairness
from tunesmith.evaluate.judged import JudgedCriterion
from tunesmith.evaluate.judged import from_json as judged_from_json
from tunesmith.evaluate.predict.stored import read_predictions
from tunesmith.evaluate.privacy import Privacy
from tunesmith.evaluate.robustness.measure import RobustnessResult
from tunesmith.evaluate.suites.forgetting import Forgetting
from tunesmith.evaluate.verdict import Verdict
from tunesmith.events import read_events
from tunesmith.records import Prediction
from tunesmith.report.asked import Asked, read_asked
from tunesmith.report.format import excerpt
from tunesmith.runs import Run, fingerprint, read_json

T = TypeVar("T")

NEEDED = {
    "stage": "stage",
    "step": "step",
    "validation": "step",
    "note": "text",
    "warning": "text",
    "diagnosis": "text",
    "sitting": "began",
}
"""Kind of event -> what it must have."""


@dataclass(frozen=True)
class Section:
    """One chapter of the page.

    Args:
        id: its anchor, and the name of its template.
        title: its heading.
        short: its name in the list of contents.
        content: what its template shows; None when there is nothing to show.
        missing: why not, in one sentence.
    """

    id: str
    title: str
    short: str
    content: dict[str, Any] | None = None
    missing: str = ""


class Evidence:
    """The files of a run as values.

    Args:
        run: the run folder; it need not be complete.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.problems: list[str] = []

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The resolved spec, plain values, with what was found before a training; empty when the run has none."""
        spec = self._mapping("spec.json").get("spec") or {}
        for number, found in self.found.items():
            stage = spec["train"][number]
            stage["optimizer"]["lr"] = found["rate"].get("lr") or stage["optimizer"]["lr"]
            stage["micro_batch"] = found["batch"].get("micro_batch") or stage["micro_batch"]
        return spec

    @cached_property
    def origins(self) -> dict[str, str]:
        """Dotted path of each value -> where it came from."""
        origins = self._mapping("spec.json").get("origins") or {}
        for number, found in self.found.items():
            for part, path in (("rate", "optimizer.lr"), ("batch", "micro_batch")):
                if says := found[part].get("says"):
                    origins[f"train.{number}.{path}"] = f"derived: looked for before the training: {says}"
        return origins

    @cached_property
    def found(self) -> dict[int, dict[str, Any]]:
        """What was found before each stage (from 0) that had something to be found."""
        stages = range(len((self._mapping("spec.json").get("spec") or {}).get("train") or ()))
        said = {number: self._mapping(f"find/{number + 1}/found.json") for number in stages}
        return {number: found for number, found in said.items() if found}

    @cached_property
    def environment(self) -> dict[str, Any]:
        return self._mapping("environment.json")

    @cached_property
    def lineage(self) -> dict[str, Any]:
        return self._mapping("lineage.json")

    @cached_property
    def ledger(self) -> dict[str, Any]:
        """What `Ledger.to_json` says; empty when the run has none."""
        return self._read("data/ledger.json", lambda said: Ledger.from_json(said).to_json()) or {}

    @cached_property
    def sample(self) -> list[dict[str, Any]]:
        """Rendered rows: `[{"id", "tokens": [{"text", "role", "trained"}]}]`."""
        return self._read("data/sample.json", _sample) or []

    @cached_property
    def comparison(self) -> Comparison | None:
        """The arms side by side; None before the evaluation, or where there was no row to compare."""
        found = self._read("evaluation/comparison.json", Comparison.from_json)
        return found if found is not None and found.arms else None

    @cached_property
    def fairness(self) -> Fairness | None:
        """How groups of people fare; None where it was not asked."""
        return self._read("evaluation/fairness.json", Fairness.from_json)

    @cached_property
    def verdict(self) -> Verdict | None:
        return self._read("evaluation/verdict.json", Verdict.from_json)

    @cached_property
    def asked(self) -> dict[str, Asked]:
        """How each arm was asked and what it found; empty where nothing was written down."""
        return self._read("evaluation/arms.json", read_asked) or {}

    @cached_property
    def contamination(self) -> Contamination | None:
        """Test rows that were trained on; None where nobody looked."""
        return self._read("evaluation/contamination.json", Contamination.from_json)

    @cached_property
    def digests(self) -> dict[str, str]:
        """What the verdict rests on, each by its content: name -> hex digits."""
        told = {
            "data": [entry.get("sha256") for entry in self.lineage.get("data") or []],
            "spec": self.lineage.get("spec_digest"),
            "code": self.lineage.get("code_digest"),
            "base": (self.lineage.get("base") or {}).get("digest"),
            "model": self.lineage.get("model_digest"),
            "environment": self.environment,
        }
        return {name: said if isinstance(said, str) else fingerprint(said) for name, said in told.items() if said}

    @cached_property
    def retention(self) -> Forgetting | None:
        """Abilities before and after; None where none were measured."""
        return self._read("evaluation/retention.json", Forgetting.from_json)

    @cached_property
    def robustness(self) -> RobustnessResult | None:
        """What changed rows do to the answers; None where none were asked."""
        return self._read("evaluation/robustness.json", RobustnessResult.from_json)

    @cached_property
    def judged(self) -> list[JudgedCriterion]:
        """What judges said; empty where there were none."""
        return self._read("evaluation/judges.json", judged_from_json) or []

    @cached_property
    def privacy(self) -> Privacy | None:
        """What attacks on the training rows came to; None where none was asked for."""
        return self._read("evaluation/privacy.json", Privacy.from_json)

    @cached_property
    def explanation(self) -> Explanation | None:
        """What answers rest on; None where it was not asked for."""
        return self._read("evaluation/explain.json", Explanation.from_json)

    @cached_property
    def tuned(self) -> dict[str, Prediction]:
        """The tuned model's predictions by record id; empty when there are none."""
        found = self._open("evaluation/predictions-tuned.parquet", read_predictions) or []
        return {prediction.record.id: prediction for prediction in found}

    def why_no_evaluation(self) -> str:
        """The sentence that stands in place of figures."""
        if any(problem.startswith("evaluation/") for problem in self.problems):
            return "The files of the evaluation cannot be read, so there is nothing to show."
        return "This run was not evaluated: it ended before, or was asked to stop after the training."

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The diary, without entries that lack what their kind is about."""
        told = read_events(self.run / "events.jsonl")
        return [event for event in told if NEEDED.get(event["kind"], "kind") in event]

    def events_of(self, *kinds: str) -> list[dict[str, Any]]:
        """The events of these kinds, in order."""
        return [event for event in self.events if event["kind"] in kinds]

    def _mapping(self, name: str) -> dict[str, Any]:
        return self._read(name, dict) or {}

    def _read(self, name: str, make: Callable[[Any], T]) -> T | None:
        return self._open(name, lambda path: make(read_json(path)))

    def _open(self, name: str, read: Callable[[Path], T]) -> T | None:
        path = self.run / name
        if not path.exists():
            return None
        try:
            return read(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            why = excerpt(str(error).partition("\n")[0], 200)
            self.problems.append(f"{name} cannot be read ({type(error).__name__}: {why})")
            return None


def _sample(said: Any) -> list[dict[str, Any]]:
    return [{"id": str(row["id"]), "tokens": [dict(token) for token in row["tokens"]]} for row in said]


def number(value: Any) -> float:
    """A number of an event; those that are not finite are written there as text."""
    return float(value) if value is not None else float("nan")
