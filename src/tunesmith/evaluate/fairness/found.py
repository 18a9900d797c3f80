"""What the fairness room found, as `evaluation/fairness.json` holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tunesmith.evaluate.comparison import Interval
from tunesmith.records import Plain

Shown = Literal["given", "found", "mistaken", "right", "calibration", "score", "refused", "words"]
"""What is compared: the share of rows given a label, of those that have it, of those that do not, of right answers;
how far the label's probability is above how often it is right; a metric's mean score; the share refused; words."""
Outcome = Literal["apart", "not shown", "too few"]


@dataclass(frozen=True)
class GroupValue:
    """A figure of one group."""

    group: str
    value: float | None
    interval: Interval | None
    num_rows: int
    """Rows the figure is about."""
    small: bool
    """Fewer than `min_rows`."""


@dataclass(frozen=True)
class Gap:
    """How far a group is from the rows of all other groups."""

    group: str
    value: float | None
    """The group's figure minus that of the others."""
    interval: Interval | None
    p_value: float | None
    """Two-sided, of no difference; None where the rows are too few."""
    outcome: Outcome
    corrected: float | None = None
    """The p-value as it stands among all that were looked at (Holm 1979)."""


@dataclass(frozen=True)
class Spread:
    """How far groups that are not too small are apart."""

    difference: float | None
    ratio: float | None
    """The lowest over the highest."""


@dataclass(frozen=True)
class GroupFigure:
    """One figure of the groups of one kind."""

    by: str
    """The column, or two columns joined by ` x `."""
    shown: Shown
    label: str | None
    """Of the label's rates; None for other figures."""
    groups: list[GroupValue]
    gaps: list[Gap]
    arms: dict[str, Spread]
    """By arm, the tuned model last."""

    @property
    def spread(self) -> Spread:
        """The tuned model's."""
        return list(self.arms.values())[-1]


@dataclass(frozen=True)
class Represented:
    """How often a group stands in the rows."""

    by: str
    group: str
    train: int
    test: int
    share: float
    """Of the training rows that name a group of this kind."""
    labels: dict[str, float]
    """Label -> share of the group's training rows that have it."""
    weighted: dict[str, float]
    """The same with rows counted by their weights, as the training did."""


@dataclass(frozen=True)
class Change:
    """A mean over counterfactual pairs."""

    value: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Direction:
    """What a swap from one group to another does to a label, or to another figure of the answers."""

    one: str
    other: str
    label: str
    """Of answers in words the figure: `words`, `refused`, or the name of a metric."""
    gained: int
    """Pairs given the label as `other` and not as `one`, or more of the figure."""
    lost: int
    """Pairs given the label as `one` and not as `other`, or less of the figure."""
    pairs: int
    score: float | None
    """Mean change of the label's probability, or of the figure, from `one` to `other`."""
    p_value: float | None
    """Of gains and losses as likely (McNemar 1947, exact)."""
    corrected: float | None = None


@dataclass(frozen=True)
class Example:
    """A pair whose answers differ."""

    before: str
    after: str
    said_before: str
    said_after: str


@dataclass(frozen=True)
class SwappedKind:
    """The pairs in which terms of one kind were swapped."""

    identity: str
    pairs: int
    flips: Change
    """Share of pairs whose answers differ, where the answer's own terms are swapped too."""
    score: Change
    """Largest change of any label's probability; of answers in words, none."""
    words: Change
    """Words in the answer after the swap, minus before."""
    refused: Change
    """Share refused after the swap, minus before."""
    directions: list[Direction]
    examples: list[Example]


@dataclass(frozen=True)
class SuiteKind:
    """One kind of bias in a suite."""

    bias: str
    items: int
    figures: dict[str, Change]
    """Name -> value; which ones there are hangs on the suite."""


@dataclass(frozen=True)
class SuiteResult:
    """A stereotype suite, asked of one model."""

    suite: str
    path: str
    arm: str
    items: int
    left_out: int
    """Items that could not be asked."""
    kinds: list[SuiteKind]
    """`all` first."""


@dataclass(frozen=True)
class Fairness(Plain):
    """What was found about groups of people."""

    confidence: float
    min_rows: int
    num_tests: int
    """Differences that were tested together."""
    figures: list[GroupFigure]
    represented: list[Represented]
    swapped: list[SwappedKind] = field(default_factory=list)
    suites: list[SuiteResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be measured, and why."""
