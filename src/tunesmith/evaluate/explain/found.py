"""What answers rest on, as `evaluation/explain.json` holds it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunesmith.evaluate.comparison import Estimate
from tunesmith.records import Plain

ALIKE = 0.5
"""The rank correlation from which on two orders are called alike."""


@dataclass(frozen=True)
class Counted:
    """So many of so many rows."""

    hits: int
    rows: int


@dataclass(frozen=True)
class Without:
    """What becomes of right answers when a word is left out, or put in."""

    changed: Counted
    """Of the right answers that were asked for again, those that changed; of a word that is put in, to its label."""
    share: Estimate
    """The same as a share; the interval is this word's alone."""
    others: Estimate
    """The same for the other words that were left out of, or put into, the same rows."""
    p_value: float
    """Of the share being no more than the border, or no more than that of the other words, whichever is larger;
    corrected for everything that was tried (Holm 1979)."""


@dataclass(frozen=True)
class Tried:
    """A word that was left out of rows that hold it and put in front of rows of other labels."""

    word: str
    """In small letters."""
    label: str
    """The label that right answers to rows with it give most."""
    left_out: Without
    put_in: Without


@dataclass(frozen=True)
class Shortcut:
    """A word that answers hang on."""

    tried: Tried
    told: Counted
    """Of the right answers to rows with it, those that a count of the rows' other words gets right too."""
    chance: float
    """Share that the same count would get right if it did not look at the rows."""
    tells: bool
    """Whether the rest of the rows surely says the label too, so that nobody needs the word."""
    misled: Counted
    """Of the test rows that hold it and have another label, those that are given the word's."""


@dataclass(frozen=True)
class Shortcuts:
    """Words that were tried in turn."""

    hangs: float
    """The border of the share that changes when a word is left out."""
    turns: float
    """The border of the share that changes when it is put in."""
    rows: int
    """Test rows answered right, of those that were looked at."""
    asked: int
    """Questions that were put without a word, or with one more."""
    words: list[Tried]
    """All of them, the surest first."""
    named: list[Shortcut]


@dataclass(frozen=True)
class Token:
    """A token of a question."""

    text: str
    value: float
    """What it adds to what is explained, in nats, by integrated gradients."""


@dataclass(frozen=True)
class Effect:
    """A word of a question."""

    text: str
    gradients: float
    """What its tokens add together, by integrated gradients."""
    ablation: float
    """What is lost when it is left out."""


@dataclass(frozen=True)
class Neighbour:
    """A training row that is near."""

    id: str
    question: str
    label: str
    similarity: float
    """The cosine of the two hidden states, less the mean of the training rows."""


@dataclass(frozen=True)
class Explained:
    """One row, explained token by token."""

    id: str
    question: str
    given: str
    expected: str
    against: str
    """The answer that the one given is held against; empty where it is held against all others."""
    score: float
    """What is explained: log-odds or log-likelihood, in nats."""
    difference: float
    """The score, less what it is when every word is the mean word."""
    gap: float
    """How far the tokens' sum misses the difference, as a share of all that is attributed."""
    steps: int
    tokens: list[Token]
    words: list[Effect]
    agreement: float | None
    """Rank correlation of the two methods over the words; None where there are too few."""
    attention: list[list[float]]
    """[layers][tokens]: how much each token of the question is looked at; empty where the model does not tell."""
    neighbours: list[Neighbour]


@dataclass(frozen=True)
class Sanity:
    """Whether attributions hang on what the model has learned."""

    rows: int
    gap: float
    """The largest of all explained rows."""
    incomplete: int
    """Rows whose gap stayed too large."""
    agreement: Estimate
    """Mean rank correlation of integrated gradients and ablation."""
    shuffled: Estimate
    """Mean rank correlation with the attributions of the same model with its weights mixed up."""

    @property
    def passed(self) -> bool | None:
        """Whether attributions are surely unlike those of a model that knows nothing; None where neither is sure."""
        low, high = self.shuffled.interval or (None, None)
        if high is not None and high < ALIKE:
            return True
        return False if low is not None and low > ALIKE else None


@dataclass(frozen=True)
class Layer:
    """What a probe reads from one layer."""

    layer: int
    """Counted from 1; 0 is what the first one reads."""
    accuracy: Estimate
    control: Estimate
    """The same probe for labels that were dealt out anew."""


@dataclass(frozen=True)
class Probe:
    """What the hidden states say of a column, layer by layer."""

    column: str
    """`label`, or the name of a slice."""
    values: int
    rows: int
    base: float
    """The share of the commonest value."""
    layers: list[Layer]

    @property
    def best(self) -> Layer:
        """The layer that says most."""
        return max(self.layers, key=lambda each: (each.accuracy.value or 0.0, -each.layer))


@dataclass(frozen=True)
class Surrogate:
    """A count of words that says what the model says."""

    fitted: int
    """Training rows whose answers it learned from."""
    fidelity: Estimate
    """Share of test rows where it gives the model's answer."""
    base: float
    """The share of the model's commonest answer."""
    words: dict[str, list[tuple[str, float]]]
    """Label -> the words that speak most for it, with their weights; empty where fidelity says nothing."""

    @property
    def means_something(self) -> bool:
        """Whether it surely follows the model better than its commonest answer does."""
        return self.fidelity.interval is not None and (self.fidelity.interval[0] or 0.0) > self.base


@dataclass(frozen=True)
class Doubted:
    """A test row whose nearest training rows all have one other label."""

    id: str
    question: str
    expected: str
    given: str
    label: str
    neighbours: list[Neighbour]


@dataclass(frozen=True)
class Nearest:
    """Which training rows stand behind answers."""

    count: int
    """Training rows that were looked through."""
    neighbours: int
    """Taken of each."""
    same: Estimate
    """Share of test rows whose nearest training row has the label that the model gives."""
    base: float
    """The same for a training row drawn by chance."""
    doubted: list[Doubted]


@dataclass(frozen=True)
class Explanation(Plain):
    """All that was looked at."""

    rows: int
    confidence: float
    shortcuts: Shortcuts | None = None
    explained: list[Explained] = field(default_factory=list)
    sanity: Sanity | None = None
    probes: list[Probe] = field(default_factory=list)
    surrogate: Surrogate | None = None
    nearest: Nearest | None = None
    notes: list[str] = field(default_factory=list)
