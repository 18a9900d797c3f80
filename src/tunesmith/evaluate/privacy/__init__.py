"""What a model gives away of the rows it was trained on, and whether that is more than chance.

Three ways to look, each with the bound that a model which learned nothing by heart stays below:

    membership   training rows told from held-out rows by the model's loss
    exposure     planted secrets told from others drawn like them
    extraction   rows recited word for word, given how they begin; personal data said, given what stands before them

All tests together accuse a model that learned nothing by heart with a chance of at most 1 - confidence (Bonferroni).
Nothing is ever shown to be private: an attack that fails shows that this attack failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tunesmith.records import Plain

Finding = Literal["found", "nothing found", "too small to tell"]


@dataclass(frozen=True)
class Attack:
    """How well one attack tells training rows from held-out rows."""

    name: str
    auc: float
    interval: tuple[float, float]
    bound: float
    """The area that a model which knows no row stays below."""
    tpr: float
    """Share of training rows recognised at 1% of held-out rows accused."""
    tpr_interval: tuple[float, float]
    tpr_bound: float

    @property
    def found(self) -> bool:
        """Whether it does better than chance would."""
        return self.auc > self.bound


@dataclass(frozen=True)
class Membership:
    """Training rows against held-out rows."""

    members: int
    held_out: int
    near_copies: int
    """Rows left out since nearly the same stand on the other side."""
    attacks: list[Attack]
    """Empty where rows are too few or not alike."""
    words_auc: float | None
    """How well words alone, without the model, tell both kinds of rows apart."""
    words_bound: float | None
    detectable: float | None
    """The area that would be found in 4 of 5 cases."""
    likeliest: list[str]
    """Sources of the rows that give themselves away most, where something was found."""

    @property
    def alike(self) -> bool:
        """Whether both kinds of rows are alike but for having been trained on."""
        return self.words_auc is None or self.words_bound is None or self.words_auc <= self.words_bound

    @property
    def finding(self) -> Finding:
        if not self.attacks:
            return "too small to tell"
        return "found" if any(attack.found for attack in self.attacks) else "nothing found"


@dataclass(frozen=True)
class Exposed:
    """Planted secrets against others drawn like them."""

    canaries: int
    copies: float
    """How many training rows say each, on average."""
    alternatives: int
    """Secrets that each is ranked among, itself left out."""
    mean: float
    """Bits."""
    interval: tuple[float, float] | None
    bound: float
    """The mean that a model which knows no secret stays below."""
    highest: float
    """The most that can be measured."""
    bits: list[float]
    """Of each canary."""
    sources: list[str]
    """The row that each stands behind."""

    @property
    def finding(self) -> Finding:
        if self.bound >= self.highest:
            return "too small to tell"
        return "found" if self.mean > self.bound else "nothing found"


@dataclass(frozen=True)
class Asked:
    """How often the model said what it was asked to go on with."""

    rows: int
    said: int

    @property
    def rate(self) -> float | None:
        return self.said / self.rows if self.rows else None


@dataclass(frozen=True)
class Extraction:
    """Rows recited, and personal data said."""

    shown: int
    """Tokens of a row that the model is shown."""
    recited: int
    """Tokens that it must then say."""
    trained: Asked
    interval: tuple[float, float] | None
    held_out: Asked
    """The same of rows it never saw."""
    chance: float | None
    """That training rows are recited so much oftener by luck (Fisher's exact test)."""
    level: float
    """Below this chance it is no luck."""
    personal: dict[str, Asked]
    """By kind, `email` or `card`."""
    sources: list[str]
    """Rows that were recited or whose personal data were said."""

    @property
    def finding(self) -> Finding:
        if any(asked.said for asked in self.personal.values()) or (
            self.chance is not None and self.chance <= self.level
        ):
            return "found"
        # With so few rows not even reciting all of them would be beyond chance.
        hopeless = self.trained.rows == 0 or self.held_out.rows == 0
        return "too small to tell" if hopeless and not self.personal else "nothing found"


@dataclass(frozen=True)
class Privacy(Plain):
    """What was looked at, and what was found. `evaluation/privacy.json`."""

    confidence: float
    """That a model which learned nothing by heart is not accused by any of the tests."""
    tests: int
    """How many there are; each has its share of the doubt."""
    membership: Membership | None
    exposure: Exposed | None
    extraction: Extraction | None
    notes: list[str]
    """What was not looked at, and why."""

    @property
    def findings(self) -> dict[str, Finding]:
        """What each way to look came to."""
        ways = {"membership": self.membership, "exposure": self.exposure, "extraction": self.extraction}
        return {name: way.finding for name, way in ways.items() if way is not None}
