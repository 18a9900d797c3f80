"""The spec: one frozen tree of sections, every field with its help under it.

A written spec is sparse. What is left out here as None is derived by `tunesmith.spec.resolve` from
the task, the data and the base, and the resolved spec has no None left where a value is needed.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tunesmith.part import (
    ADAPTERS,
    ARMS,
    JUDGES,
    METRICS,
    OBJECTIVES,
    OPTIMIZERS,
    SCHEDULES,
    TRACKERS,
    WATCHERS,
    Part,
)
from tunesmith.spec.data import Curriculum, Data, HoldOut, Mixture, Source, Split, SplitRule
from tunesmith.spec.quantity import Batch, Bound, Budget, Duration, Every, Price, Share
from tunesmith.spec.rooms.card import Card
from tunesmith.spec.rooms.explain import Explain
from tunesmith.spec.rooms.fairness import Fairness
from tunesmith.spec.rooms.privacy import Privacy, Private
from tunesmith.spec.rooms.robustness import Robustness
from tunesmith.spec.rooms.search import Search
from tunesmith.spec.section import Section

__all__ = [
    "Base", "Card", "Curriculum", "Data", "Evaluate", "Fairness", "Freeze", "Goal", "HoldOut", "Mixture", "Privacy",
    "Private", "Prompt", "Regularize", "Replay", "Retention", "Scale", "Search", "Section", "Source", "Spec", "Split",
    "SplitRule", "Target", "Task", "Train",
]  # fmt: skip

Task = Literal["classify", "extract", "summarize", "translate", "answer", "chat", "generate", "code"]


class Target(Section):
    """One measurable aim. Give `at_least` or `at_most`."""

    metric: Annotated[Part, METRICS]
    """What is measured: a metric's name, or `{kind: name, setting: value}`."""
    at_least: Bound | None = None
    """The smallest value that will do."""
    at_most: Bound | None = None
    """The largest value that will do."""
    over: str | None = None
    """An arm: the value is then how far the tuned model's figure is above that arm's on the same rows."""
    slice: dict[str, str] = Field(default_factory=dict)
    """Only rows with these values count, for example `{channel: email}`."""

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of at_least and at_most")
        return self


class Goal(Section):
    """What the model is for, and what it must reach."""

    task: Task | None = None
    """What the model does; derived from the data's shape when left out."""
    targets: list[Target] = Field(default_factory=list)
    """What the tuned model must reach on the test rows; SHIP needs all of them."""


class Base(Section):
    """The model to start from."""

    model: str = "bundled"
    """`bundled`, a local folder, a hub id, or `run:NAME/N`."""
    revision: str | None = None
    """The hub revision; a commit hash pins it."""
    initialize: Literal["pretrained", "random"] = "pretrained"
    """`random` keeps the architecture and tokenizer and starts from fresh weights."""


class Prompt(Section):
    """How rows become conversations for objectives that generate."""

    template: str | None = None
    """A name of the library, or text with `{{ column }}` places; derived from the task."""
    wordings: Literal["first", "all"] | Annotated[int, Field(ge=2)] = "first"
    """Ways to ask, of those of a library template: `all`, `first` or a number. Training rows vary, test rows do not."""
    system: str | None = None
    """The system message put before every conversation; none when left out."""
    examples: int = Field(default=0, ge=0, le=32)
    """So many training rows are shown, asked and answered, before each question."""
    seed: int = 0
    """Another seed draws other wordings and examples."""

    @model_validator(mode="after")
    def _something_to_vary(self) -> Self:
        if self.wordings != "first" and self.template is not None and re.search(r"[{\s]", self.template):
            raise ValueError("a template of your own has one wording; leave wordings out, or name a library template")
        return self


class Freeze(Section):
    """What stands still while the rest learns."""

    layers: Annotated[int, Field(ge=0)] | Literal["all"] = 0
    """How many of the lowest layers, and the embeddings with them; `all` leaves what stands on the layers."""
    names: list[str] = Field(default_factory=list)
    """Modules or weights, such as `embed_tokens`, `layers.0.mlp` or `q_proj`: any part of their dotted name."""
    unfreeze: Every | None = None
    """How often one more of the frozen layers begins to learn, from the top down, the embeddings last."""
    cache: Literal["auto", "memory", "disk", "off"] = "auto"
    """Where the outputs of layers below all that train are kept for later epochs; `auto`: where there is room."""

    @model_validator(mode="after")
    def _something_to_freeze(self) -> Self:
        if not self.layers and (self.unfreeze or not (self.names or self.cache != "auto")):
            raise ValueError("say which layers stand still at first: `layers: 8` or `layers: all`")
        return self


class Regularize(Section):
    """What keeps a training from learning its rows by heart, beside the optimizer's weight decay and L1."""

    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Share of the base's activations dropped in training, in place of its config's; as it says when left out."""
    neftune: float | None = Field(default=None, gt=0)
    """Noise on embeddings in training: uniform up to this over sqrt(tokens x width) (arXiv 2310.05914); 5 is usual."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Validate and keep an average of the weights that holds this share of itself at every step, such as 0.999."""
    private: Private | None = None
    """Differential privacy: each row's gradient is shortened and noise is added; none when left out."""


class Replay(Section):
    """Older rows that are learned again among the new ones, so that they are not forgotten."""

    source: str
    """A run, `run:NAME/N`, whose training rows are taken as it prepared them; or a file, as in `data.sources`."""
    share: Share
    """The share they make of the rows of every epoch."""

    @model_validator(mode="after")
    def _a_part(self) -> Self:
        if not 0 < self.share.value < 1:
            raise ValueError(f"share must be above 0% and below 100%, not {self.share}")
        if self.source.startswith("run:") and not self.source.rpartition("/")[2].isdecimal():
            raise ValueError(f"write the run's number too, `{self.source}/1`: the latest is another one every time")
        return self


class Train(Section):
    """One training stage."""

    objective: Annotated[Part, OBJECTIVES] | None = None
    """What is learned from: `pretrain`, `sft`, `distill`, `classify`, `tag`; derived from the task and data."""
    adapter: Annotated[Part, ADAPTERS] | None = None
    """What is trained: `full`, or a small part of it such as `lora`; derived from the base's size."""
    freeze: Freeze | None = None
    """What stands still, for good or at first; nothing when left out."""
    replay: Replay | None = None
    """Older rows mixed in at a stated share; none when left out."""
    duration: Duration | None = None
    """How long: epochs, steps, tokens or time; derived from the number of rows."""
    batch: Batch | None = None
    """How many rows or tokens make one optimizer step."""
    micro_batch: Batch | None = None
    """How many rows or tokens are computed at once; smaller needs less memory, same result."""
    optimizer: Annotated[Part, OPTIMIZERS] | None = None
    """How weights move: `adamw`, with its learning rate."""
    schedule: Annotated[Part, SCHEDULES] | None = None
    """How the learning rate changes over the training."""
    regularize: Regularize = Regularize()
    """Dropout, noise on embeddings, an average of the weights, privacy."""
    watch: list[Annotated[Part, WATCHERS]] | None = None
    """What looks on; derived: `early_stop`, by accuracy or entity F1 for heads, and `diagnose`."""
    validate_every: Every | None = None
    """How often the validation rows are measured and a checkpoint is kept."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """The arithmetic of the forward and backward pass; weights that train are kept in fp32."""
    checkpointing: Literal["auto", "on", "off"] = "auto"
    """Compute each layer again in the backward pass, for less memory; `auto`: only when a step would not fit."""
    seed: int = 0
    """Order of rows, dropout and fresh weights."""


ABILITIES = ("arithmetic", "facts", "grammar", "instructions", "prose", "reasoning")
"""The abilities that come with Tunesmith."""


class Retention(Section):
    """What the base can do and the tuned model should still be able to do, measured before and after."""

    sources: list[str] = Field(default_factory=lambda: list(ABILITIES), min_length=1)
    """Built-in abilities (arithmetic, facts, grammar, instructions, prose, reasoning), suite folders, JSONL files."""
    max_rows: int | None = Field(default=None, ge=2)
    """At most so many items of each ability, the first ones; all when left out."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [ability_of(source) for source in self.sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sources are called {', '.join(twice)}; give the file or folder another name")
        return self


def ability_of(source: str) -> str:
    """What a source of `evaluate.retention` measures: its name, without folder and ending."""
    return re.sub(r"\.jsonl$", "", source.rstrip("/").rpartition("/")[2])


class Evaluate(Section):
    """What is measured on the test rows."""

    arms: list[Annotated[Part, ARMS]] | None = Field(default=None, min_length=1, max_length=20)
    """What is compared on the same rows: `base`, `linear`, `few_shot`, `tuned` and more; derived from base and task."""
    metrics: list[Annotated[Part, METRICS]] | None = None
    """What is measured beside the targets; derived from the task."""
    slices: list[str] = Field(default_factory=list)
    """Columns by whose values the figures are broken down, beside slices that are found."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """How sure the intervals are."""
    resamples: int = Field(default=2000, ge=100, le=100_000)
    """Bootstrap samples behind each interval."""
    folds: int | None = Field(default=None, ge=2, le=20)
    """Cross-validate: train so many models, each tested on a part of the rows, and decide by their mean."""
    seeds: int | None = Field(default=None, ge=2, le=20)
    """Train so many models that differ in `train.seed` alone, and show how far they lie apart; the first one ships."""
    max_rows: int | None = Field(default=None, ge=1)
    """Evaluate at most this many test rows (of each fold), drawn by the split's seed; all when left out."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """The longest answer generated; derived from the answers in the training rows."""
    fairness: Fairness | None = None
    """How groups of people fare; not looked at when left out."""
    retention: Retention | None = None
    """Abilities measured before and after; derived: all built-in ones where a target names `retention`."""
    judges: list[Annotated[Part, JUDGES]] = Field(default_factory=list)
    """Models that rate the answers; the metric `judged` measures what they say."""
    robustness: Robustness | None = None
    """Test rows asked once more after a change; derived: the changes that targets on `robustness` name."""
    privacy: Privacy | None = None
    """Look for what the tuned model gives away of its training rows; derived where a target or canaries ask for it."""
    explain: Explain | None = None
    """Look for what the answers rest on: words, layers, training rows; derived where a target names `shortcut`."""

    @model_validator(mode="after")
    def _judges_have_names(self) -> Self:
        names = [getattr(judge, "called", judge.kind) for judge in self.judges]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two judges are called {', '.join(twice)}; give one of them a `name`")
        return self

    @model_validator(mode="after")
    def _repeated_in_one_way(self) -> Self:
        if self.folds and self.seeds:
            raise ValueError("folds train several models already; leave seeds out, or folds")
        return self

    @field_validator("arms")
    @classmethod
    def _each_has_a_name(cls, arms: list[Part] | None) -> list[Part] | None:
        titles = [str(getattr(arm, "title", arm.kind)) for arm in arms or ()]
        if twice := sorted({title for title in titles if titles.count(title) > 1}):
            raise ValueError(f"two arms are called {twice[0]!r}; tell them apart with `called: another-name`")
        return arms


class Scale(Section):
    """What a run may take: devices, processes, rows at once. With more or less of it, it is still the same run."""

    devices: int | None = Field(default=None, ge=1, le=64)
    """How many processes train, each on a GPU or on its share of the cores; derived: one a GPU, or one in all."""
    shard: Literal["auto", "off", "full"] = "auto"
    """Cut each layer into a part a process (FSDP2), for less memory; `auto`: only when a step would not fit."""
    workers: int | None = Field(default=None, ge=1, le=256)
    """Processes that prepare data on this machine; as many as it computes with when left out."""
    batch: int = Field(default=32, ge=1)
    """Rows that a model answers at once; fewer need less memory."""
    jobs: int = Field(default=1, ge=1, le=256)
    """Trials of a search that train at the same time on this machine, each in a process of its own."""
    cluster: str | None = Field(default=None, pattern=r"^(local|auto|ray://.+)$")
    """Data steps and trials run on a Ray cluster: `local`, `auto` (the one of this machine), or `ray://host:port`."""
    instance: str | None = None
    """The rented machine it runs on, such as `p5.48xlarge`, for its price; `launch --on sky` rents it."""
    spot: bool = False
    """Rent the machine at its spot price: it may be taken away, and the same command goes on."""
    price: Price | None = None
    """What an hour costs, `1.20 USD/h`; derived: that of the instance. Without either, money is not counted."""
    budget: Budget | None = None
    """Stop when so much is spent, `20 USD` or `2 h`, earlier sittings included: saved, and a larger one goes on."""

    @model_validator(mode="after")
    def _money_needs_a_price(self) -> Self:
        if self.budget and self.budget.unit == "USD" and not (self.price or self.instance):
            raise ValueError("a budget in USD needs what an hour costs: write scale.price or scale.instance, or a time")
        return self


def _stages(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class Spec(Section):
    """Goal, data and base of one model, and everything derived from them."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """The run's name and folder: up to 64 letters, digits, dots, dashes and underscores."""
    goal: Goal = Goal()
    """What the model is for, and what it must reach."""
    data: Data
    """Where the rows come from and what happens to them."""
    base: Base = Base()
    """The model to start from."""
    prompt: Prompt = Prompt()
    """How rows become conversations."""
    train: Annotated[
        list[Train], Field(min_length=1), BeforeValidator(_stages, json_schema_input_type=Train | list[Train])
    ] = [Train()]
    """One training stage, or a list of stages run in sequence."""
    search: Search = Search()
    """Which settings `tunesmith search` tries, and how."""
    find: list[Literal["lr", "batch"]] = Field(default_factory=list)
    """Found before each stage in under 5% of its tokens, in place of what is derived: `lr`, `batch` (rows at once)."""
    evaluate: Evaluate = Evaluate()
    """What is measured on the test rows."""
    scale: Scale = Scale()
    """What the run may take: devices, processes, rows at once."""
    track: list[Annotated[Part, TRACKERS]] = []
    """Where the run's curves and figures are sent while it goes; `tunesmith send RUN` sends them later."""
    card: Card = Card()
    """What the model card says beside what was measured."""
    relative_to: str | None = None
    """The folder, from this file's, that the paths in it are relative to; this file's own when left out."""

    @model_validator(mode="after")
    def _licences_are_of_sources(self) -> Self:
        paths = [source.path for source in self.data.sources]
        if strange := [path for path in self.card.licences if path not in paths]:
            raise ValueError(f"card.licences names {strange[0]!r}, which is none of data.sources: {', '.join(paths)}")
        return self

    @model_validator(mode="after")
    def _folds_test_every_row(self) -> Self:
        rule, folds = self.data.split, self.evaluate.folds
        if folds is None:
            return self
        said = rule.says_who_is_tested or ("fold" if rule.fold else None)
        if said is None and rule.test.value and "test" in rule.model_fields_set:
            said = "test"
        if said is not None:
            raise ValueError(
                f"evaluate.folds tests every row once, and data.split.{said} goes against it; leave one out"
            )
        if any(source.split == "test" for source in self.data.sources):
            raise ValueError(
                "evaluate.folds tests every row once, and a source is fixed to test; leave one of them out"
            )
        return self
