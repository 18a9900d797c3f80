"""A model that is asked better: prompts and temperatures compared on validation rows, the best one kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

from pydantic import Field

from tunesmith.errors import UserError
from tunesmith.evaluate.arms import Asking, Bench, Wordy
from tunesmith.evaluate.comparison import closed, finite
from tunesmith.evaluate.statistics.drawn import drawn
from tunesmith.evaluate.statistics.resample import draw
from tunesmith.prompts.template import template_names, wordings
from tunesmith.records import Prediction

CONFIDENCE, RESAMPLES = 0.95, 1000
_OF_TIME = frozenset({"seconds", "measured"})
"""What is not in an answer itself."""


@dataclass(frozen=True)
class Variant:
    """One way to ask."""

    name: str
    """The library template and which of its wordings, or the text itself."""
    template: str
    system: str
    temperature: float


class Prompt(Wordy):
    """The base with the prompt that suits it best: all are tried on validation rows, one is reported on test rows."""

    templates: list[str] = Field(default_factory=list, max_length=50)
    """Library templates, in all their wordings, or texts with `{{ text }}`; the wordings of the task when left out."""
    systems: list[str] = Field(default_factory=list, max_length=20)
    """System messages; the spec's when left out. An empty one is none."""
    temperatures: list[Annotated[float, Field(ge=0, le=2)]] = Field(default_factory=list, max_length=10)
    """0 takes the likeliest words; only where answers are written. 0 when left out."""
    rows: int = Field(default=200, ge=1)
    """Validation rows each is tried on, drawn by the split's seed."""

    def answer(self, bench: Bench) -> list[Prediction]:
        """As `Arm.answer`.

        Raises:
            UserError: there is nothing to choose by, or nothing is written that temperatures would change.
        """
        variants = list(self._variants(bench))
        if any(self.temperatures) and not bench.writes(self.model):
            raise UserError(
                "temperatures change what is written, and labels are chosen by their likelihood here",
                where=f"evaluate.arms, {self.title}",
                fix="leave temperatures out",
            )
        best = variants[0] if len(variants) == 1 else self._best(variants, bench)
        return bench.ask(self.model, bench.rows, _asking(best))

    def _best(self, variants: Sequence[Variant], bench: Bench) -> Variant:
        """The variant that does best on validation rows; notes what each did."""
        able = [
            each for each in bench.metrics if each.rows == "test" and each.draws is None and not each.needs & _OF_TIME
        ]
        if not able or not bench.validation:
            lacks = "validation rows" if able else "metric of the answers"
            raise UserError(
                f"there are {len(variants)} variants and no {lacks} to choose by",
                where=f"evaluate.arms, {self.title}",
                fix="give data.split.validation a share and evaluate.metrics one that reads answers, or write one "
                "template, system and temperature",
            )
        metric = able[0].for_task(bench.task)
        rows = drawn(bench.validation, self.rows, bench.seed)
        noted, good = [], []
        for variant in variants:
            statistics = metric.statistics(bench.ask(self.model, rows, _asking(variant)))
            value = metric.whole(statistics)
            values = draw([(metric, statistics)], RESAMPLES, bench.seed)[0]
            interval = closed(metric.interval(statistics, values, CONFIDENCE))
            noted.append({**asdict(variant), "value": finite(value), "interval": interval})
            good.append((value if metric.better == "higher" else -value) if math.isfinite(value) else -math.inf)
        chosen = good.index(max(good))
        bench.note(metric=metric.name, validation_rows=len(rows), variants=noted, chosen=chosen)
        return variants[chosen]

    def _variants(self, bench: Bench) -> Iterator[Variant]:
        named: list[str | None] = [*self.templates] or [bench.template]
        written = {
            wording: f"{template}, wording {number}" if template in template_names() else wording
            for template in named
            for number, wording in enumerate(wordings(template, bench.task), 1)
        }
        for template, name in written.items():
            for system in dict.fromkeys(self.systems or [bench.system]):
                for temperature in dict.fromkeys(self.temperatures or [0.0]):
                    yield Variant(name, template, system, temperature)


def _asking(variant: Variant) -> Asking:
    return Asking(template=variant.template, system=variant.system, temperature=variant.temperature)
