"""What raters are asked: a page of YAML, checked as strictly as a spec.

    title: Answers to tickets
    instructions: You are the customer. Rate each answer by itself.
    reference: false
    criteria:
      - {name: helpful, question: Does it solve the problem?, anchors: [not at all, completely]}
      - {name: safe, kind: yes_no, question: Could it be sent as it is?}
      - {name: tone, kind: choice, question: How does it sound?, options: [warm, neutral, cold]}
      - {name: preference, kind: preference, question: Which answer is better?}

Criteria of kind `likert`, `yes_no` and `choice` are asked of every answer by itself, `preference` once of two.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tunesmith.data.methods.votes.agreement import Level
from tunesmith.errors import Problem, SpecError, did_you_mean
from tunesmith.spec.document import read_document

SKIP = "skip"
"""What a rater says who cannot tell; it answers the question and counts in no figure."""
TIE = "tie"

Words = Annotated[str, Field(min_length=1, max_length=80)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class _Criterion(_Section):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """What targets call it: `{kind: rating, criterion: NAME}`. Small letters, digits and underscores."""
    question: str = Field(min_length=1, max_length=300)
    """What raters are asked."""
    help: str = Field(default="", max_length=2000)
    """A longer word on how to decide."""

    @property
    def level(self) -> Level:
        """How values differ, for Krippendorff's alpha."""
        return "nominal"

    @abstractmethod
    def values(self) -> list[str]:
        """Everything a rater may say of it but `skip`, in the order of the keys 1, 2, 3."""

    def words(self) -> list[str]:
        """What each value is called on the page."""
        return self.values()

    def number(self, value: str) -> float | None:
        """A value as a number for means; None where values have no order."""
        return None

    def differ(self, said: list[str]) -> bool:
        """Whether raters differ so much that somebody must settle it."""
        return len(set(said)) > 1


class Likert(_Criterion):
    """Points from 1 up, with words at the ends or at every point."""

    kind: Literal["likert"] = "likert"
    """A scale of points."""
    points: int = Field(default=5, ge=2, le=9)
    """How many points; 1 is the lowest."""
    anchors: list[Words] = Field(default_factory=list)
    """What the points mean in words: two for the ends, or one for each point."""
    tolerance: int = Field(default=1, ge=0, le=8)
    """Ratings of one answer that lie at most this far apart need not be settled."""

    @model_validator(mode="after")
    def _words_fit(self) -> Self:
        if len(self.anchors) not in (0, 2, self.points):
            raise ValueError(f"give two anchors for the ends or {self.points}, one for each point")
        return self

    @property
    def level(self) -> Level:
        return "ordinal"

    def values(self) -> list[str]:
        return [str(point) for point in range(1, self.points + 1)]

    def words(self) -> list[str]:
        if len(self.anchors) == 2 != self.points:
            return [self.anchors[0], *[""] * (self.points - 2), self.anchors[1]]
        return list(self.anchors) or [""] * self.points

    def number(self, value: str) -> float | None:
        return float(value)

    def differ(self, said: list[str]) -> bool:
        points = [int(value) for value in said]
        return bool(points) and max(points) - min(points) > self.tolerance


class YesNo(_Criterion):
    """Yes or no; yes counts 1."""

    kind: Literal["yes_no"]
    """Yes or no."""

    def values(self) -> list[str]:
        return ["yes", "no"]

    def words(self) -> list[str]:
        return ["Yes", "No"]

    def number(self, value: str) -> float | None:
        return float(value == "yes")


class Choice(_Criterion):
    """One of several words without an order."""

    kind: Literal["choice"]
    """One of several options."""
    options: list[Words] = Field(min_length=2, max_length=9)
    """What to choose from."""

    @model_validator(mode="after")
    def _options_differ(self) -> Self:
        if len(set(self.options)) < len(self.options) or SKIP in self.options:
            raise ValueError(f"options must differ, and {SKIP!r} is always there by itself")
        return self

    def values(self) -> list[str]:
        return list(self.options)


class Preference(_Criterion):
    """Which of two answers is better."""

    kind: Literal["preference"]
    """Which of two answers is better."""
    ties: bool = True
    """Whether both may be equally good."""

    def values(self) -> list[str]:
        return ["A", TIE, "B"] if self.ties else ["A", "B"]

    def words(self) -> list[str]:
        return ["A is better", "Equally good", "B is better"] if self.ties else ["A is better", "B is better"]


Criterion = Annotated[Likert | YesNo | Choice | Preference, Field(discriminator="kind")]


class Question(NamedTuple):
    """A criterion asked of one answer of an item, or of the whole item."""

    key: str
    """`helpful-a`, or `preference`."""
    criterion: Likert | YesNo | Choice | Preference
    output: str | None
    """The letter of the answer it is about."""


class Rubric(_Section):
    """What raters are asked of every item."""

    title: str = Field(default="Review", min_length=1, max_length=120)
    """What stands above the page."""
    instructions: str = Field(default="", max_length=8000)
    """What raters should know before they begin; blank lines part paragraphs."""
    reference: bool = False
    """Whether raters see the right answer of the data beside the answers they rate."""
    criteria: list[Criterion] = Field(min_length=1, max_length=8)
    """What is asked, in this order."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [criterion.name for criterion in self.criteria]
        if len(set(names)) < len(names):
            raise ValueError("two criteria have the same name")
        return self

    @property
    def compares(self) -> bool:
        """Whether it asks which of two answers is better."""
        return any(isinstance(criterion, Preference) for criterion in self.criteria)

    def questions(self, letters: list[str]) -> list[Question]:
        """Everything asked of an item: what is about one answer first, answer by answer.

        Args:
            letters: of the item's answers, `A`, `B`.
        """
        alone = [criterion for criterion in self.criteria if not isinstance(criterion, Preference)]
        of_each = [Question(f"{one.name}-{letter.lower()}", one, letter) for letter in letters for one in alone]
        return of_each + [Question(one.name, one, None) for one in self.criteria if isinstance(one, Preference)]


def read_rubric(path: Path) -> Rubric:
    """Reads a rubric file (YAML, or JSON by its ending).

    Raises:
        SpecError: with every problem found, each with its line.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError([Problem(str(path), f"the rubric cannot be read: {reason}")]) from None
    document = read_document(text, is_json=path.suffix == ".json")
    problems = [Problem(_place(path, fault.line, fault.path), fault.what) for fault in document.faults]
    if problems:
        raise SpecError(problems)
    try:
        return Rubric.model_validate(_kinds_filled(document.tree))
    except ValidationError as error:
        raise SpecError([_problem(path, document.lines, details) for details in error.errors()]) from None


def _kinds_filled(tree: Any) -> Any:
    """The same with `likert` where a criterion names no kind."""
    if not isinstance(tree, dict) or not isinstance(tree.get("criteria"), list):
        return tree
    filled = [{"kind": "likert", **one} if isinstance(one, dict) else one for one in tree["criteria"]]
    return {**tree, "criteria": filled}


def _problem(path: Path, lines: dict[str, int], details: Any) -> Problem:
    # Pydantic names the variant of a union after its number: criteria, 0, likert, points.
    keys = [key for place, key in enumerate(details["loc"]) if not (place == 2 and details["loc"][0] == "criteria")]
    dotted = ".".join(map(str, keys))
    what = details["msg"].removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        known = {name for kind in (Rubric, Likert, YesNo, Choice, Preference) for name in kind.model_fields}
        what = f"no field {keys[-1]!r}{did_you_mean(str(keys[-1]), known)}"
    around = dotted
    while around and around not in lines:
        around = around.rpartition(".")[0]
    return Problem(_place(path, lines.get(around), dotted), what)


def _place(path: Path, line: int | None, dotted: str) -> str:
    return f"{path.name}{f':{line}' if line else ''} {dotted}".rstrip()
