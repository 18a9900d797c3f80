"""What is tried to find better settings: `search`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tunesmith.spec.section import Section


class Vary(Section):
    """What one path of the spec may be: a list of values, or a range."""

    choices: list[Any] | None = Field(default=None, min_length=2)
    """The values themselves; a list alone says the same."""
    low: float | None = None
    """The lowest value of a range."""
    high: float | None = None
    """The highest value of a range."""
    log: bool = False
    """Whether equal ratios, and not equal distances, are equally likely."""
    step: float | None = Field(default=None, gt=0)
    """The distance between two values of a range, from `low` on; any value may be drawn when left out."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.choices is not None:
            if said := [name for name in ("low", "high", "log", "step") if getattr(self, name)]:
                raise ValueError(f"{said[0]} belongs to a range; leave it out, or the choices")
            if any(self.choices.count(value) > 1 for value in self.choices):
                raise ValueError("a choice stands there twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("write a list of values, or a range: {low: 1e-5, high: 1e-3, log: true}")
        if self.low >= self.high:
            raise ValueError(f"low must be below high, and {self.low:g} is not below {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError("a range on a log scale begins above 0")
        if self.log and self.step:
            raise ValueError("steps are of equal size, and a log scale has none; leave log or step out")
        return self


def _vary(value: Any) -> Any:
    return {"choices": value} if isinstance(value, list) else value


class Search(Section):
    """Which settings are tried by `tunesmith search`, and how. It changes no run."""

    vary: dict[str, Annotated[Vary, BeforeValidator(_vary, json_schema_input_type=list[Any] | Vary)]] | None = Field(
        default=None, min_length=1
    )
    """Path of the spec -> its values, `[8, 16, 32]`, or its range, `{low:, high:, log:, step:}`; derived."""
    sampler: Literal["grid", "random", "tpe", "gp"] = "tpe"
    """What chooses the values of a trial: all of a `grid`, chance, Parzen estimators, or a Gaussian process."""
    pruner: Literal["none", "median", "asha", "hyperband"] | None = None
    """What ends a trial early that does worse than others at the same point; derived: `asha` where there is one aim."""
    trials: int = Field(default=20, ge=1, le=10_000)
    """How many are trained, the spec as it is among them; with more of them later, the search goes on."""
    together: int = Field(default=2, ge=1, le=64)
    """So many trials may be under way at once: each is chosen without the outcome of the others."""
    aims: list[str] | None = Field(default=None, min_length=1, max_length=4)
    """What is sought: a validation metric or `loss`, `latency` (ms, 95th percentile), `size` (MB); derived."""
    startup: int | None = Field(default=None, ge=1)
    """Trials spread evenly over the space before tpe or gp choose by what was found; derived."""
    looks: int | None = Field(default=None, ge=1, le=100)
    """How often a trial is measured on the validation rows; derived: 9 times."""
    grace: int | None = Field(default=None, ge=1)
    """A trial is measured so often before it may be ended early; derived: once."""
    reduction: int | None = Field(default=None, ge=2, le=10)
    """One in so many trials goes on from each point at which asha and hyperband look; derived: 3."""
    seed: int = 0
    """Another seed chooses other values."""

    @model_validator(mode="after")
    def _settings_have_an_effect(self) -> Self:
        wrong = []
        if self.pruner not in (None, "none") and len(self.aims or ()) > 1:
            wrong.append(
                f"{self.pruner} looks at one aim alone, and would end trials that do best by another; "
                "write `pruner: none`, or one aim"
            )
        if self.startup is not None and self.sampler not in ("tpe", "gp"):
            wrong.append(f"startup is for tpe and gp, and {self.sampler} learns from no trial; leave it out")
        if self.grace is not None and self.pruner == "none":
            wrong.append("grace is for trials that are ended early; leave it out, or name a pruner")
        if self.reduction is not None and self.pruner in ("none", "median"):
            wrong.append(f"reduction is for asha and hyperband, and the pruner is {self.pruner}; leave it out")
        if self.aims and len(set(self.aims)) < len(self.aims):
            wrong.append("an aim stands there twice")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self
