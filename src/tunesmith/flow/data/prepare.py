"""From a request to records that can be trained on, the resolved spec, and the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, cast

import numpy as np

from tunesmith.data.disk.rendered import Rendered
from tunesmith.data.disk.spool import Records, joined
from tunesmith.data.encode.example import Family
from tunesmith.data.encode.tokenize import Codec, Encoded, Example, Need
from tunesmith.data.ledger import EpochEntry, Ledger
from tunesmith.data.methods.canaries import is_canary
from tunesmith.data.passes.survey import Survey
from tunesmith.data.prepare import Collected, collect, encode
from tunesmith.data.split import Pool
from tunesmith.errors import ModelError
from tunesmith.evaluate.predict import Manner, manner
from tunesmith.flow.data.privacy import plants
from tunesmith.flow.data.workshop import tokenizers, workshop
from tunesmith.flow.environment import fast_bf16
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.metrics import Metric
from tunesmith.models.tokenizer import open_tokenizer, refuse_other_vocabulary
from tunesmith.prompts.examples import choose
from tunesmith.prompts.template import places, render
from tunesmith.records import Record
from tunesmith.spec.resolve import Facts, Resolved, resolve, resolve_early
from tunesmith.spec.sections import Spec, Train
from tunesmith.train.objectives import Objective
from tunesmith.train.order.epochs import Order, order_of

MEASURED_ROWS = 2000
"""Rows whose lengths are looked at before a spec is resolved."""


@dataclass(frozen=True)
class Tokenized:
    """What the rows of a job became for its last stage, so that they need not become it again."""

    spec: Spec
    learned: Records
    validation: Records
    encoded: tuple[Encoded, Encoded]
    """What is learned from, and what is measured on."""

    def of(self, job: Job, number: int) -> tuple[Encoded, Encoded] | None:
        """What stage `number` of a job learns from and is measured on; None unless it is that very stage and those
        very rows."""
        same = job.spec is self.spec and number == len(job.spec.train) - 1 and "replay" not in job.splits
        same = same and job.splits["train"] is self.learned and job.splits["validation"] is self.validation
        return self.encoded if same else None


@dataclass(frozen=True)
class Job:
    """A resolved spec with its records: what training and evaluation work on."""

    resolved: Resolved
    splits: dict[Pool, Records]
    """`replay` holds what any of the stages replays."""
    labels: tuple[str, ...]
    """Labels of whole rows, sorted."""
    span_labels: tuple[str, ...]
    """Labels of stretches, sorted."""
    multi_label: bool
    tokenizer: Any
    family: Family
    tokenized: Tokenized | None = None
    """What the rows have become already, where that is known."""

    @property
    def spec(self) -> Spec:
        return self.resolved.spec

    def to_json(self) -> dict[str, Any]:
        """The resolved spec, and what was learned of the labels; the records are kept apart."""
        return {
            **self.resolved.to_json(),
            "labels": list(self.labels),
            "span_labels": list(self.span_labels),
            "multi_label": self.multi_label,
        }

    def with_tokens(self, encoded: tuple[Encoded, Encoded]) -> Job:
        """The job, with what its training and validation rows became for its last stage."""
        known = Tokenized(self.spec, self.splits["train"], self.splits["validation"], encoded)
        return replace(self, tokenized=known)

    def objective(self, stage: Train) -> Objective:
        """What a stage learns from."""
        return cast(Objective, stage.objective)

    def codec(self, stage: Train, need: Need | None = None) -> Codec:
        """How a stage's records become tokens, as its objective needs them or in another shape."""
        need = need or self.objective(stage).need
        max_length = self.spec.data.max_length
        assert max_length is not None, "a resolved spec has data.max_length"
        return Codec(
            self.tokenizer,
            need=need,
            family=self.family,
            max_length=int(max_length.value),
            too_long=self.spec.data.too_long,
            labels=self.span_labels if need == "spans" else self.labels,
            multi_label=self.multi_label,
        )

    def learned(self, number: int) -> Records:
        """What stage `number` learns from: the training rows, and those it replays."""
        if "replay" not in self.splits:
            return self.splits["train"]
        older = self.splits["replay"]
        wanted = np.array([self.replays(number, record) for record in older], np.bool_)
        return joined([self.splits["train"], older.take(wanted)])

    def source(self, origin: int) -> str:
        """What a source is called, by the number its records carry."""
        data, replays = self.spec.data, [stage.replay for stage in self.spec.train if stage.replay]
        return [*(source.path for source in data.sources), *(replay.source for replay in replays)][origin]

    def replays(self, number: int, record: Record) -> bool:
        """Whether an older row is one of those that stage `number` replays."""
        before = sum(stage.replay is not None for stage in self.spec.train[:number])
        origin = len(self.spec.data.sources) + before
        return self.spec.train[number].replay is not None and record.origin == origin

    def order(self, number: int, examples: Sequence[Example], records: Sequence[Record]) -> Order:
        """In what order stage `number` learns `examples`, each made of the record at its place in `records`.

        Raises:
            DataError: a row has no number in the column of the curriculum.
        """
        return order_of(examples, records, self.spec.data, self.spec.train[number].replay)

    def heads(self, stage: Train) -> tuple[str, ...]:
        """The classes of the stage's head; empty for a language head."""
        kind = self.objective(stage).head
        return self.labels if kind == "classify" else self.codec(stage).tag_names if kind == "tag" else ()

    def render(self, stage: Train, records: Sequence[Record], *, learned: bool = False) -> Sequence[Record]:
        """Records as a stage needs them: labels and texts become conversations where it generates.

        Args:
            learned: they are trained on, and so asked in every wording the spec wants; what is measured is not.
        """
        return self.asked(records, learned=learned) if self.objective(stage).need == "chat" else records

    def asked(self, records: Sequence[Record], *, learned: bool = False) -> Sequence[Record]:
        """Records as conversations, by the spec's prompt."""
        prompt = self.spec.prompt
        # Travels to other processes, so it holds nothing of the rows.
        conversations = partial(
            render,
            template=prompt.template,
            system=prompt.system,
            task=self.spec.goal.task,
            labels=self.span_labels or self.labels,
            vary=prompt.wordings if learned else "first",
            seed=prompt.seed,
            examples=self.examples,
        )
        return Rendered(records, conversations)

    @cached_property
    def unplanted(self) -> Records:
        """The training rows without canaries, which are learned and stand nowhere else."""
        train = self.splits["train"]
        if not plants(self.spec):
            return train
        return train.take(np.array([not is_canary(record) for record in train], np.bool_))

    @cached_property
    def examples(self) -> list[Record]:
        """The training rows shown before each question."""
        return choose(self.unplanted, self.spec.prompt.examples, self.spec.prompt.seed)

    def manner(self, stage: Train) -> Manner:
        """How a model trained by `stage` is asked."""
        objective = self.objective(stage)
        return manner(objective.head, task=self.spec.goal.task, objective=objective.kind, multi_label=self.multi_label)


def columns_to_keep(spec: Spec) -> list[str]:
    """The columns a spec reports by, targets, splits by, prompts with, or measures by."""
    rule = spec.data.split
    measured = [*(spec.evaluate.metrics or []), *(target.metric for target in spec.goal.targets)]
    named = [
        *spec.evaluate.slices,
        *(spec.evaluate.fairness.groups if spec.evaluate.fairness else ()),
        *(spec.evaluate.explain.probes if spec.evaluate.explain else ()),
        *(column for target in spec.goal.targets for column in target.slice),
        *(column for column in rule.columns if column != "label"),
        *([spec.data.curriculum.by] if spec.data.curriculum and spec.data.curriculum.by != "length" else []),
        *sorted(places(spec.prompt.template, spec.goal.task)),
        *(column for metric in measured for column in cast(Metric, metric).columns),
        *(column for stage in spec.train if stage.objective for column in cast(Objective, stage.objective).columns()),
    ]
    return list(dict.fromkeys(named))


def collect_job(request: Request, narrator: Narrator, variants: Sequence[Spec] = ()) -> tuple[Job, Collected]:
    """Reads, cleans and divides the data, and resolves the spec by what was found.

    Args:
        request: what is asked for.
        narrator: told what happens.
        variants: other specs for the same rows, whose columns are kept too.

    Raises:
        UserError: anything about spec, data or base that would make the run wrong.
    """
    early = resolve_early(request.spec)
    tokenizer = open_tokenizer(request.base.reference, workspace=request.workspace, revision=early.base.revision)
    with workshop(request, narrator.progressing, tokenizer) as shop:
        columns = [column for spec in (early, *variants) for column in columns_to_keep(spec)]
        collected = collect(early.data, early.goal.task, list(dict.fromkeys(columns)), request.older, shop)
    for line in collected.said:
        narrator.say("note", text=line)
    resolved = _resolve(request, collected, tokenizer)
    _check_teachers(request, resolved.spec, tokenizer)
    job = Job(
        resolved=resolved,
        splits=collected.splits,
        labels=collected.survey.own_labels,
        span_labels=collected.survey.span_labels,
        multi_label=collected.survey.several,
        tokenizer=tokenizer,
        family=request.base.family,
    )
    return job, collected


def _check_teachers(request: Request, spec: Spec, tokenizer: Any) -> None:
    """Refuses teachers that read other tokens than the base, or fewer.

    Raises:
        ModelError: one does.
    """
    longest = int(spec.data.max_length.value) if spec.data.max_length else 0
    for number, stage in enumerate(spec.train):
        where = f"train.{number}.objective.teacher"
        for name in cast(Objective, stage.objective).teachers():
            facts = request.teachers[name]
            other = open_tokenizer(facts.reference, workspace=request.workspace)
            refuse_other_vocabulary(tokenizer, other, name, where)
            if longest > facts.context:
                raise ModelError(
                    f"{name} reads {facts.context} tokens, and rows may have {longest}",
                    where=where,
                    fix=f"write `data.max_length: {facts.context} tokens`, or use another teacher",
                )


def encode_job(job: Job, collected: Collected, narrator: Narrator) -> tuple[Job, Sequence[Example]]:
    """Tokenises every split for the last stage, entering each token into the ledger, and lets the gates judge.

    Returns:
        The job without the rows that could not be tokenised, which knows what the others became, and the examples of
        its training split.

    Raises:
        DataError: a row has no number in the column of the curriculum.
        GateFailed: nothing would be trained, the stop token would not be, or too much would be lost.
    """
    stage = job.spec.train[-1]
    codec = job.codec(stage)

    def rendered(pool: Pool, records: Sequence[Record]) -> Sequence[Record]:
        return job.render(stage, records, learned=pool in ("train", "replay"))

    with tokenizers(job.spec.scale) as cores:
        encoded, left = encode(job.splits, codec, collected.ledger, rendered, narrator.progressing, cores.map)
    for note in codec.notes:
        narrator.say("note", text=note)
    _enter_epoch(job, encoded, collected.ledger)
    for source in collected.ledger.epoch:
        if source.unseen:
            said = f"{source.source}: {source.unseen} of {source.rows} rows are not seen in an epoch; they take turns"
            narrator.say("note", text=said)
    learned, measured = (encoded[pool].of_those_left(len(job.splits[pool])) for pool in ("train", "validation"))
    return replace(job, splits=left).with_tokens((learned, measured)), learned.examples


def _enter_epoch(job: Job, encoded: Mapping[Pool, Encoded], ledger: Ledger) -> None:
    """Enters what an epoch of the last stage holds of each source."""
    last = len(job.spec.train) - 1
    examples, records = encoded["train"].examples, job.splits["train"].take(encoded["train"].places)
    if "replay" in encoded:
        older = job.splits["replay"].take(encoded["replay"].places)
        wanted = np.array([job.replays(last, record) for record in older], np.bool_)
        examples = [*examples, *(encoded["replay"].examples[at] for at in np.flatnonzero(wanted).tolist())]
        records = joined([records, older.take(wanted)])
    order = job.order(last, examples, records)
    ledger.epoch = [
        EpochEntry(ledger.sources[source.origin].path, len(source.rows), source.count, source.unseen)
        for source in order.sources
    ]


def _resolve(request: Request, collected: Collected, tokenizer: Any) -> Resolved:
    survey, splits = collected.survey, {"train": collected.splits["train"]}
    facts = facts_of(request, survey, len(splits["train"]))
    # What is not known yet is nothing; the rows are looked at as they become conversations.
    draft = Job(
        Resolved(request.spec, {}),
        cast(dict[Pool, Records], splits),
        survey.own_labels,
        survey.span_labels,
        survey.several,
        tokenizer,
        request.base.family,
    )
    return resolve(request.spec, request.written, measured(request, draft, facts))


def facts_of(request: Request, survey: Survey, num_train: int) -> Facts:
    """What is known of the data, the base and the machine before the rows' lengths are."""
    import torch

    return Facts(
        shape=survey.shape,
        num_train=num_train,
        num_labels=len(survey.own_labels),
        labels_per_record=2 if survey.several else 1,
        answer_tokens=1,
        row_tokens=1,
        context=request.base.context,
        family=request.base.family,
        num_parameters=request.base.num_parameters,
        cuda=torch.cuda.is_available(),
        gpus=torch.cuda.device_count(),
        bf16=fast_bf16(),
    )


def measured(request: Request, job: Job, facts: Facts) -> Facts:
    """The facts with the lengths that rows have once they are what the last stage learns from.

    Args:
        request: the spec, as written.
        job: its records; how its spec is resolved does not matter.
        facts: the rows' lengths aside.
    """
    first = resolve(request.spec, request.written, facts)
    records, tokenizer = job.splits["train"], job.tokenizer
    some = list(records[:: max(1, len(records) // MEASURED_ROWS)])
    rendered = replace(job, resolved=first).render(first.spec.train[-1], some, learned=True)
    answers = [record.answer for record in rendered if record.answer]
    return replace(
        facts,
        row_tokens=_percentile_99(_lengths(tokenizer, [_said(record, tokenizer) for record in rendered])),
        answer_tokens=_percentile_99(_lengths(tokenizer, answers)) if answers else 0,
    )


def _said(record: Record, tokenizer: Any) -> str:
    """The text a record becomes for the model, special tokens of its chat template included."""
    if not record.messages:
        return record.content()
    turns = [{"role": turn.role, "content": turn.content} for turn in record.messages]
    said: str = tokenizer.apply_chat_template(turns, tokenize=False)
    return said


def _lengths(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]


def _percentile_99(lengths: Sequence[int]) -> int:
    return sorted(lengths)[min(len(lengths) - 1, int(0.99 * len(lengths)))]
