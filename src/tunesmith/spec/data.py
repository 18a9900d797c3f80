"""The section of a spec that says where the rows come from and what happens to them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tunesmith.part import READERS, STEPS, Part
from tunesmith.spec.quantity import Keep, Length, Share
from tunesmith.spec.section import Section

Split = Literal["train", "validation", "test"]


class Source(Section):
    """One place data comes from."""

    path: str
    """A file, glob, archive, folder of documents, address (`https://`, `s3://`), SQL URL, or hub id (`owner/name`)."""
    format: Annotated[Part, READERS] | None = None
    """The reader; derived from the file's ending and first bytes when left out."""
    map: dict[str, str | list[str]] | None = None
    """Which column plays which role, `{prompt: text, answer: label}`; else recognised. `votes` may list several."""
    weight: float = Field(default=1.0, gt=0)
    """How much each of its rows counts in the loss; with `data.mixture`, how often they are seen."""
    split: Split | None = None
    """Use all its rows for this split; left out, they are divided as `data.split` says."""

    @field_validator("path")
    @classmethod
    def _no_secret(cls, path: str) -> str:
        # A spec is copied into every run, and its sources into ledger and report.
        if re.match(r"[\w.+-]+://[^/?#@]*:[^/?#]*@", path) or re.search(r"[?&](password|pwd|passwd)=", path, re.I):
            raise ValueError("holds a password; leave it out, and set TUNESMITH_SQL_PASSWORD in the environment")
        return path


def _source(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class HoldOut(Section):
    """Whole values of a column that are tested on and never trained."""

    column: str
    """The column, for example a region or a product."""
    values: list[str] | None = Field(default=None, min_length=1)
    """The values whose rows are the test rows; as many as make up the test share, drawn by the seed, when left out."""


def _hold_out(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


class Fold(Section):
    """One of several parts of the rows, each of which is tested once."""

    number: int = Field(ge=1)
    """Which of them, from 1."""
    of: int = Field(ge=2, le=20)
    """How many there are."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.number > self.of:
            raise ValueError(f"there are {self.of} folds, and no fold {self.number}")
        return self


def _fold(value: Any) -> Any:
    said = re.fullmatch(r"\s*(\d+)\s+of\s+(\d+)\s*", value) if isinstance(value, str) else None
    return {"number": int(said[1]), "of": int(said[2])} if said else value


class SplitRule(Section):
    """How rows are divided."""

    train: Share = Share(0.8, "")
    """Share of rows to train on."""
    validation: Share = Share(0.1, "")
    """Share of rows to choose checkpoints by."""
    test: Share = Share(0.1, "")
    """Share of rows the verdict rests on."""
    stratify: str | None = None
    """A column (or `label`) whose values are spread evenly over the splits; derived: the rows' label."""
    group: str | None = None
    """A column whose equal values stay in one split, for example a customer."""
    time: str | None = None
    """A column of dates, years or seconds: the oldest rows are trained, the newest tested."""
    hold_out: Annotated[HoldOut, BeforeValidator(_hold_out, json_schema_input_type=str | HoldOut)] | None = None
    """Whole values of a column are the test rows: the column's name, or `{column: region, values: [north]}`."""
    hardest: str | None = None
    """The hardest rows are the test rows: those of greatest `length`, or highest in a column of numbers."""
    fold: Annotated[Fold, BeforeValidator(_fold, json_schema_input_type=str | Fold)] | None = None
    """Test one of several equal parts of the rows, `2 of 5`, and share out the rest; `evaluate.folds` does all."""
    leakage: Literal["together", "refuse", "ignore"] = "together"
    """Near-copies are kept in one split, or the run is refused where they are not, or they are not looked for."""
    similarity: float = Field(default=0.8, gt=0, le=1)
    """How much two rows have in common, from 0 to 1, that count as near-copies."""
    seed: int = 0
    """Another seed divides the rows differently."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        held = self.hold_out.column if self.hold_out else None
        hardest = self.hardest if self.hardest != "length" else None
        return tuple(dict.fromkeys(c for c in (self.stratify, self.group, self.time, held, hardest) if c))

    @property
    def says_who_is_tested(self) -> str | None:
        """The rule by which the test rows are other than a part of the rows by chance; None where there is none."""
        if self.hold_out is not None and self.hold_out.values is not None:
            return "hold_out.values"
        return next((name for name in ("time", "hardest") if getattr(self, name) is not None), None)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        total = self.train.value + self.validation.value + self.test.value
        wrong = []
        if abs(total - 1) > 1e-6:
            wrong.append(f"train, validation and test must add up to 1, not {total:g}")
        if self.stratify is not None and self.stratify == self.group:
            wrong.append("stratify and group name the same column; rows of one group cannot be spread")
        if self.time is not None and self.stratify is not None:
            wrong.append("stratify cannot be kept to where time decides; leave one of them out")
        said = [name for name in ("time", "hold_out", "hardest") if getattr(self, name) is not None]
        if len(said) > 1:
            wrong.append(f"{' and '.join(said)} each say which rows are the test rows; keep one of them")
        if self.fold is not None and self.says_who_is_tested:
            wrong.append(f"{self.says_who_is_tested} says which rows are the test rows, and so does fold; keep one")
        if said and not self.test.value:
            wrong.append(f"{said[0]} says which rows are the test rows, and test has no share; give it one")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


class Mixture(Section):
    """How often the rows of each source are seen, in place of once an epoch. An epoch stays as long as it is."""

    temperature: float = Field(default=1.0, ge=1)
    """Sources are seen in proportion to (rows)^(1/temperature): 1 by size, 2 small ones more, 100 about equally."""
    weight: Literal["sampling", "loss"] = "sampling"
    """What a source's `weight` multiplies: how often its rows are seen, or how much they count in the loss."""


class Curriculum(Section):
    """In what order rows are learned at first, in place of a random one."""

    by: str = "length"
    """What makes a row difficult: `length`, in tokens, or a column of numbers."""
    order: Literal["ascending", "descending"] = "ascending"
    """From low to high, or from high to low."""
    first_epochs: int = Field(default=1, ge=1)
    """So many epochs go in this order, the later ones at random."""


def _curriculum(value: Any) -> Any:
    return {"by": value} if isinstance(value, str) else value


class Data(Section):
    """Where the rows come from and what happens to them before training."""

    sources: list[Annotated[Source, BeforeValidator(_source, json_schema_input_type=str | Source)]] = Field(
        min_length=1
    )
    """Files, folders, addresses, databases or hub ids, each a path or `{path:, format:, map:, weight:, split:}`."""
    steps: list[Annotated[Part, STEPS]] | None = None
    """What is done to the rows, in this order; derived: `[clean, exact_dedup]`."""
    split: SplitRule = SplitRule()
    """How rows are divided into train, validation and test."""
    max_length: Length | None = None
    """The most tokens of one row; derived from the base's context and the data's lengths."""
    too_long: Literal["truncate", "drop", "refuse"] = "truncate"
    """What happens to a longer row: cut it, leave it out, or stop."""
    max_dropped: Share = Share(0.5, "")
    """The run refuses to start when a larger share of the rows would be lost."""
    mixture: Mixture | None = None
    """How often the rows of each source are seen; when left out, each row once an epoch."""
    curriculum: Annotated[Curriculum, BeforeValidator(_curriculum, json_schema_input_type=str | Curriculum)] | None = (
        None
    )
    """In what order rows are learned at first: `length`, a column's name, or `{by:, order:, first_epochs:}`."""
    encrypt: bool = False
    """Keep rows encrypted, in the run's data folder and in the cache, with the key in TUNESMITH_KEY."""
    keep: Keep | None = None
    """How long a run keeps its rows, `30 days`; then `tunesmith prune` deletes them. When left out, for ever."""

    @model_validator(mode="after")
    def _something_to_mix(self) -> Self:
        if self.mixture is not None and sum(source.split in (None, "train") for source in self.sources) < 2:
            raise ValueError("a mixture needs two sources to train on; with one, leave it out")
        return self

    @model_validator(mode="after")
    def _one_test_set(self) -> Self:
        ruled = [name for name in ("hold_out", "hardest") if getattr(self.split, name) is not None]
        if ruled and any(source.split == "test" for source in self.sources):
            raise ValueError(f"a source is the test rows (`split: test`), and split.{ruled[0]} says others; keep one")
        return self
