"""The bench that arms are handed: opens the models they name and puts the rows to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tunesmith.data.encode.tokenize import Codec
from tunesmith.errors import Interrupted, UserError
from tunesmith.evaluate.arms import Asking, Shots
from tunesmith.evaluate.fairness.suites import Suite
from tunesmith.evaluate.fairness.suites.ask import ask as ask_suite
from tunesmith.evaluate.predict import Manner, manner, predict
from tunesmith.evaluate.predict.clock import timed
from tunesmith.evaluate.predict.reading import read_label
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.data.workshop import RememberingModels
from tunesmith.flow.evaluation.endpoint import Put, counted
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request, resolve_reference
from tunesmith.metrics import Metric, draws_of
from tunesmith.metrics._labels import right_label
from tunesmith.metrics._measured import PROMPT_TOKENS
from tunesmith.models.load import open_model
from tunesmith.models.model import Model
from tunesmith.models.roles.limits import longest_row
from tunesmith.models.roles.remote import RemoteResponder, is_remote
from tunesmith.prompts.spans import read_spans
from tunesmith.prompts.template import render
from tunesmith.records import Prediction, Record
from tunesmith.runs import Run

TIMED_ROWS = 100
"""Rows asked one by one for latency figures; enough to bound a 95th percentile."""
TIMED_ROWS_P99 = 320
"""Enough to bound a 99th percentile with 95% confidence: ln 0.05 / ln 0.99 is 299."""
_ENDLESS = 10**9
"""Tokens; the limit of a codec that only counts them."""


@dataclass(frozen=True)
class Asked:
    """A model, and how it is asked as the spec says."""

    model: Model
    manner: Manner
    codec: Codec


class Bench:
    """The rows of a run, and the models that its arms name; see `tunesmith.evaluate.arms.Bench`."""

    def __init__(
        self,
        run: Run,
        request: Request,
        job: Job,
        rows: Sequence[Record],
        metrics: Sequence[Metric],
        narrator: Narrator,
        stop: Callable[[], bool],
    ) -> None:
        self.rows, self.metrics = rows, metrics
        self.task, self.labels = job.spec.goal.task, job.labels
        self.train, self.validation = job.unplanted, job.splits["validation"]
        self.template, self.system = job.spec.prompt.template, job.spec.prompt.system or ""
        self.seed = job.spec.data.split.seed
        self.noted: dict[str, Any] = {}
        self.arm = ""
        self._needed = frozenset[str]().union(*(metric.needs for metric in metrics))
        self._run, self._request, self._job, self._narrator, self._stop = run, request, job, narrator, stop
        self._open: tuple[str, Asked] | None = None

    @cached_property
    def alone(self) -> int:
        """Rows that are asked one at a time, to be timed."""
        if "seconds" not in self._needed:
            return 0
        return TIMED_ROWS_P99 if any(metric.kind == "latency_p99" for metric in self.metrics) else TIMED_ROWS

    def note(self, **facts: Any) -> None:
        """Keeps what the arm found out."""
        self.noted.update(facts)

    def progress(self, done: int, total: int | None) -> None:
        """Tells how far the arm is.

        Raises:
            Interrupted: somebody asked to stop.
        """
        doing = f"predict ({self.arm})"
        self._narrator.progressing(doing, done, total)
        if self._stop():
            raise Interrupted(
                f"stopped while predicting ({self.arm})", where="evaluate", fix="give the same command again to go on"
            )

    def open(self, model: str) -> Asked:
        """`tuned`, `base` or another model, as it is asked by the spec."""
        return self._asked(model)

    def writes(self, model: str) -> bool:
        """Whether a model writes its answers where it is asked as the spec says."""
        return is_remote(model) or self._asked(model).manner == "generate"

    def ask(self, model: str, rows: Sequence[Record], asking: Asking | None = None) -> list[Prediction]:
        """What a model answers; see `tunesmith.evaluate.arms.Bench`."""
        # Only what is reported is timed and drawn from, not the rows that variants are tried on.
        reported = rows is self.rows
        if is_remote(model):
            made = self._remote(model, rows, asking or Asking(), reported)
        elif asking is not None:
            made = self._anew(model, rows, asking, reported)
        else:
            asked = self._asked(model)
            put = self._job.asked(rows) if asked.codec.need == "chat" else rows
            made = self._predict(asked, put, reported)
        # What an answer in words names is measured as a tagger is.
        if self._job.manner(self._job.spec.train[-1]) == "tag":
            return [row if row.spans is not None else _with_spans(row) for row in made]
        return made

    def likely(self, model: str, suites: Sequence[Suite]) -> list[list[Prediction]]:
        """What `base` or `tuned` makes of the items of each suite; it has a language head."""
        opened = self._asked(model).model
        codec = self._codec(opened, "chat", opened.context)
        batch = self._job.spec.evaluate.batch
        return [ask_suite(opened, codec, suite, batch=batch, after=self.progress) for suite in suites]

    # Local models -----------------------------------------------------------------------------------

    def _anew(self, name: str, rows: Sequence[Record], asking: Asking, reported: bool) -> list[Prediction]:
        asked = self._asked(name)
        model = asked.model
        if model.head is not None:
            raise UserError(
                f"a model with a {model.head_kind} head cannot be asked in words",
                where=f"evaluate.arms, {self.arm}: {name}",
                fix="ask `base`, or a model that writes",
            )
        longest = min(self._longest(asking), model.context // 2)
        put = self._fitted(rows, asking, model, model.context - longest)
        asked = replace(asked, codec=self._codec(model, "chat", model.context))
        if asking.read is None:
            return self._predict(asked, put, reported, asking.temperature, longest)
        # The right answer alone, without reasoning before it, is not what such a model is to say.
        asked = replace(asked, manner="generate")
        made = self._predict(asked, put, reported, asking.temperature, longest, nll=False)
        return [self._read(row, asking) for row in made]

    def _longest(self, asking: Asking) -> int:
        return asking.max_new_tokens or self._job.spec.evaluate.max_new_tokens or 0

    def _predict(
        self,
        asked: Asked,
        rows: Sequence[Record],
        reported: bool,
        temperature: float = 0.0,
        longest: int | None = None,
        *,
        nll: bool = True,
    ) -> list[Prediction]:
        settings = self._job.spec.evaluate
        return predict(
            asked.model,
            asked.codec,
            rows,
            manner=asked.manner,
            labels=self.labels,
            max_new_tokens=settings.max_new_tokens or 0 if longest is None else longest,
            batch=settings.batch,
            nll=nll and "nll" in self._needed,
            alone=self.alone if reported else 0,
            temperature=temperature,
            draws=draws_of(self.metrics) if reported else None,
            seed=self.seed,
            after=self.progress,
        )

    def _asked(self, name: str) -> Asked:
        """A model opened; the last one is kept open, since arms that ask the same one often stand together."""
        if self._open is None or self._open[0] != name:
            self._open = None  # before the next one takes its memory
            self._open = (name, self._opened(name))
        return self._open[1]

    def _opened(self, name: str) -> Asked:
        stage = self._job.spec.train[-1]
        objective, base = self._job.objective(stage), self._job.spec.base
        if name == "tuned":
            model = open_model(str((self._run / "model").resolve()), workspace=self._request.workspace)
            return Asked(model, self._job.manner(stage), self._job.codec(stage))
        if name == "base":
            model = open_model(
                self._request.base.reference,
                workspace=self._request.workspace,
                head="lm",
                revision=base.revision,
                initialize=base.initialize,
                seed=self._job.spec.train[0].seed,
            )
            if objective.head == "lm":
                return Asked(model, self._job.manner(stage), self._job.codec(stage))
            return Asked(model, self._in_words, self._job.codec(stage, need="chat"))
        return self._other(name)

    @property
    def _in_words(self) -> Manner:
        return manner("lm", task=self.task, objective="sft", multi_label=self._job.multi_label)

    def _other(self, name: str) -> Asked:
        """A model of its own, asked as it was trained where it has a head."""
        reference = resolve_reference(name, self._request.folder)
        model = open_model(reference, workspace=self._request.workspace)
        if model.head_kind == "lm":
            objective = self._job.objective(self._job.spec.train[-1])
            if objective.kind == "pretrain":
                return Asked(model, "prose", self._codec(model, objective.need, model.context))
            return Asked(model, self._in_words, self._codec(model, "chat", model.context))
        need = "label" if model.head_kind == "classify" else "spans"
        longest = longest_row(reference, self._request.workspace, model.context)
        return Asked(model, "classify" if need == "label" else "tag", self._codec(model, need, longest))

    def _codec(self, model: Model, need: Any, longest: int) -> Codec:
        return Codec(
            model.tokenizer,
            need=need,
            family=model.family,
            max_length=longest,
            too_long="truncate",
            labels=model.labels if model.head is not None else self.labels,
            multi_label=model.multi_label,
        )

    # Questions --------------------------------------------------------------------------------------

    def _fitted(self, rows: Sequence[Record], asking: Asking, model: Model, room: int) -> list[Record]:
        """Rows as they are asked, with as many of the examples as leave the question whole."""
        asked = self._rendered(rows, asking)
        if asking.shots is None:
            return asked
        ruler = self._codec(model, "chat", _ENDLESS)
        shown, wanted = 0, 0
        for place, record in enumerate(rows):
            shots = list(asking.shots(record))
            wanted += len(shots)
            while shots and len(ruler.prompt_ids(asked[place])) > room:
                shots.pop(0)
                (asked[place],) = self._rendered([record], asking, shots)
            shown += len(shots)
        self.note(examples_a_row=round(shown / max(len(rows), 1), 2), left_out_for_room=wanted - shown)
        return asked

    def _rendered(
        self, rows: Sequence[Record], asking: Asking, examples: Sequence[Record] | Shots | None = None
    ) -> list[Record]:
        prompt = self._job.spec.prompt
        return render(
            rows,
            self.template if asking.template is None else asking.template,
            prompt.system if asking.system is None else asking.system or None,
            self.task,
            self._job.span_labels or self.labels,
            seed=prompt.seed,
            examples=next(each for each in (examples, asking.shots, self._job.examples) if each is not None),
            ending=asking.ending,
        )

    def _read(self, row: Prediction, asking: Asking) -> Prediction:
        """An answer with what surrounds it taken off; of labels, the one it names."""
        said = asking.read(row.output) if asking.read else row.output
        if self.task == "classify" and not self._job.multi_label:
            return replace(row, output=read_label(said, self.labels), expected=right_label(row.record))
        return replace(row, output=said)

    # Endpoints --------------------------------------------------------------------------------------

    def _remote(self, reference: str, rows: Sequence[Record], asking: Asking, reported: bool) -> list[Prediction]:
        if self._job.objective(self._job.spec.train[-1]).kind == "pretrain":
            raise UserError(
                "an endpoint says nothing of how likely a text is",
                where=f"evaluate.arms, {self.arm}",
                fix="leave this arm out",
            )
        models = RememberingModels(self._request, self._job.tokenizer)
        prompts = self._rendered(rows, asking)
        put = Put([row.prompt for row in prompts], self._longest(asking), asking.temperature, self.seed)
        draws, alone = (draws_of(self.metrics), self.alone) if reported else (None, 0)
        num_drawn = len(prompts) * (draws.count if draws else 0)
        total = len(prompts) + num_drawn + min(alone, len(prompts))
        said = put.to(models.responder(reference), lambda done: self.progress(done, total))
        made = [Prediction(row, text, row.answer) for row, text in zip(prompts, said, strict=True)]
        if draws is not None:
            drawer = models.drawer(reference, draws.top_p)
            samples = put.drawn(drawer, draws, lambda done: self.progress(len(prompts) + done, total))
            made = [replace(row, samples=answers) for row, answers in zip(made, samples, strict=True)]
        read = [self._read(row, asking) for row in made]
        # A remembered answer takes no time, so those that are timed are asked for again.
        found = timed(
            read,
            prompts,
            lambda some, after: counted(RemoteResponder(reference), put, some),
            alone,
            lambda done: self.progress(len(prompts) + num_drawn + done, total),
        )
        if alone and not any(PROMPT_TOKENS in row.measured for row in found):
            self.note(
                tokens="the endpoint does not tell how many it reads and writes, so nothing is said of their cost"
            )
        return found


def _with_spans(prediction: Prediction) -> Prediction:
    """The stretches that an answer in words names, so that it is measured as a tagger is."""
    return replace(prediction, spans=read_spans(prediction.record.text or "", prediction.output))
