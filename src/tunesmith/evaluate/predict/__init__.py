"""Asks a model about records and writes down what it said.

How a record is asked is its `Manner`, which follows from the model's head and the task:

    choose     an lm head that classifies: the likeliest label, every one of them scored as an answer
    generate   an lm head that answers: greedy text, and the nll of the right answer
    classify   a classification head: probabilities of the labels
    tag        a token classification head: spans
    prose      an lm head over plain text: the nll of the text

N records, C labels.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from tunesmith.errors import DataError
from tunesmith.evaluate.predict.clock import Done, Peak, timed
from tunesmith.evaluate.predict.surprise import answer_ids, surprises
from tunesmith.metrics._labels import JOINER, right_label
from tunesmith.metrics._measured import ANSWER_TOKENS, FIRST_TOKEN, PEAK_MEMORY, PROMPT_TOKENS
from tunesmith.records import Message, Prediction, Record, Span

if TYPE_CHECKING:
    from tunesmith.data.encode.example import Example
    from tunesmith.data.encode.tokenize import Codec
    from tunesmith.metrics import Draws, Floats, Need
    from tunesmith.models.load import Model

Manner = Literal["choose", "generate", "classify", "tag", "prose"]
After = Callable[[int, int], None]
"""Told how much is done, and of how much."""

THRESHOLD = 0.5
"""From this probability on a label is given, where a row may have several."""


def manner(head: str, *, task: str | None, objective: str, multi_label: bool) -> Manner:
    """How a model with this head is asked for this task."""
    if head == "classify":
        return "classify"
    if head == "tag":
        return "tag"
    if objective == "pretrain":
        return "prose"
    return "choose" if task == "classify" and not multi_label else "generate"


def provides(asked: Manner, task: str | None = None) -> frozenset[Need]:
    """What predictions made so carry, in the words of `Metric.needs`; written labels only if they are the task."""
    written: frozenset[Need] = frozenset({"label"} if task == "classify" else ())
    carried: dict[Manner, frozenset[Need]] = {
        "choose": frozenset({"label", "scores", "nll", "seconds"}),
        "generate": written | {"text", "nll", "seconds"},
        "classify": frozenset({"label", "scores", "seconds"}),
        "tag": frozenset({"spans", "seconds"}),
        "prose": frozenset({"nll"}),
    }
    return carried[asked]


def silent(done: int, total: int) -> None:
    """Does not care how far things are."""


def predict(
    model: Model,
    codec: Codec,
    records: Sequence[Record],
    *,
    manner: Manner,
    labels: Sequence[str] = (),
    max_new_tokens: int = 0,
    batch: int = 32,
    nll: bool = True,
    text: bool = True,
    alone: int = 0,
    temperature: float = 0.0,
    draws: Draws | None = None,
    seed: int = 0,
    after: After = silent,
) -> list[Prediction]:
    """One prediction a record, in their order.

    A record that the codec leaves out (longer than `max_length`, and such rows are dropped) stays
    unanswered, which metrics count as wrong: its user would have got no answer either.

    Args:
        model: in evaluation mode.
        codec: of the kind of records the model reads.
        records: rendered as the codec needs them.
        manner: how they are asked.
        labels: what to choose among, for `choose`.
        max_new_tokens: the longest answer, for `generate`.
        batch: rows computed at once.
        nll: whether `generate` measures the right answer's nll.
        text: whether `generate` generates; without, outputs stay empty.
        alone: how many rows, evenly spaced, are asked again one at a time; only these carry `seconds` and the time to
            the first token. Where any are, all rows carry the most memory that predicting took.
        temperature: of what `generate` writes; 0 takes the likeliest token each time.
        draws: further answers that `generate` draws for each record, into `samples`.
        seed: draws them; a record's answers depend on it and on the record's id, and on no other record.
        after: told (done, total) as answers come.
    """
    from tunesmith.models.inference.blocked import blocked

    asker = _Asker(model, codec, tuple(labels), max_new_tokens, batch, text, temperature)
    ask = {
        "choose": asker.choose,
        "generate": asker.generate,
        "classify": asker.classify,
        "tag": asker.tag,
        "prose": asker.prose,
    }[manner]
    surprised = manner == "prose" or (manner == "generate" and nll)
    drawn = draws.count if draws is not None and manner == "generate" and text else 0
    num_timed = min(alone, len(records))
    total = len(records) * (1 + surprised + drawn) + num_timed
    peak = Peak(model.device) if num_timed else None
    with blocked(model.module):  # once for all rows, so that those timed alone do not wait for it
        made = [_untimed(row) for row in ask(records, lambda done: after(done, total))]
        done_before = len(records)
        if surprised:
            found = surprises(model, codec, records, batch=batch, after=lambda done: after(done_before + done, total))
            made = [
                replace(row, nll=nats, num_tokens=num_tokens, num_chars=num_chars)
                for row, (nats, num_tokens, num_chars) in zip(made, found, strict=True)
            ]
            done_before += len(records)
        if draws is not None and drawn:
            samples = asker.sample(records, draws, seed, lambda done: after(done_before + done, total))
            made = [replace(row, samples=answers) for row, answers in zip(made, samples, strict=True)]
        made = timed(made, records, ask, alone, lambda done: after(total - num_timed + done, total))
    most = peak.megabytes() if peak else None
    return made if most is None else [replace(row, measured={**row.measured, PEAK_MEMORY: most}) for row in made]


def _untimed(row: Prediction) -> Prediction:
    """Without the time to its first token, in which others were answered beside it."""
    kept = {name: value for name, value in row.measured.items() if name != FIRST_TOKEN}
    return replace(row, measured=kept) if len(kept) < len(row.measured) else row


def majority(train: Sequence[Record], records: Sequence[Record]) -> list[Prediction]:
    """The answer that takes no model: the commonest label (or set of labels) of the training rows.

    Raises:
        DataError: the training rows have no labels.
    """
    counts = Counter(right_label(record) for record in train)
    if not counts or not counts.keys() - {""}:
        raise DataError(
            "the training rows have no labels to take the commonest of",
            where="evaluate.arms",
            fix="leave the arm `majority` out",
        )
    commonest = min(counts, key=lambda label: (-counts[label], label))
    return [Prediction(record, output=commonest, expected=right_label(record)) for record in records]


@dataclass(frozen=True)
class _Asker:
    """One model, asked in any manner."""

    model: Model
    codec: Codec
    labels: tuple[str, ...]
    max_new_tokens: int
    batch: int
    text: bool
    temperature: float

    def choose(self, records: Sequence[Record], after: Done) -> list[Prediction]:
        """The likeliest label. Its probability is the model's own of answering with it and then stopping,
        shared out over the labels, so that neither short labels nor prefixes of others are favoured."""
        from tunesmith.models.inference.choices import score_choices

        choices = [self._spelled(label) for label in self.labels]
        room = max(len(choice) for choice in choices)
        prompts = [self.codec.prompt_ids(record, room=room) for record in records]
        likely_NC = np.asarray(score_choices(self.model, prompts, choices, batch=self.batch, after=after), np.float64)
        sure_NC = _shares(likely_NC)
        place = {label: column for column, label in enumerate(self.labels)}
        made = []
        for record, prompt, likely_C, sure_C in zip(records, prompts, likely_NC, sure_NC, strict=True):
            right = right_label(record)
            known, given = place.get(right), int(sure_C.argmax())
            made.append(
                Prediction(
                    record,
                    output=self.labels[given],
                    expected=right,
                    scores=dict(zip(self.labels, sure_C.tolist(), strict=True)),
                    nll=None if known is None else -float(likely_C[known]),
                    num_tokens=0 if known is None else len(choices[known]),
                    num_chars=0 if known is None else len(right),
                    measured=_tokens(len(prompt), len(choices[given])),
                )
            )
        return made

    def generate(self, records: Sequence[Record], after: Done) -> list[Prediction]:
        """What the model says until it stops."""
        from tunesmith.models.inference.generate import Sampling, generate

        if not self.text:
            return [Prediction(record, "", record.answer) for record in records]
        prompts = [self.codec.prompt_ids(record, room=self.max_new_tokens) for record in records]
        answers = generate(
            self.model,
            prompts,
            stop_ids=self.codec.stop_ids,
            max_new_tokens=self.max_new_tokens,
            batch=self.batch,
            sampling=Sampling(temperature=self.temperature),
            after=after,
        )
        # What is right is the whole answer: beside a label it may name stretches, as JSON.
        return [
            Prediction(
                record,
                answer.text,
                record.answer,
                measured={**_tokens(len(prompt), answer.num_tokens), FIRST_TOKEN: answer.first},
            )
            for record, prompt, answer in zip(records, prompts, answers, strict=True)
        ]

    def sample(
        self, records: Sequence[Record], draws: Draws, seed: int, after: Callable[[int], None]
    ) -> list[tuple[str, ...]]:
        """Answers drawn for each record."""
        from tunesmith.models.inference.generate import Sampling, generate

        prompts = [self.codec.prompt_ids(record, room=self.max_new_tokens) for record in records]
        answers = generate(
            self.model,
            [prompt for prompt in prompts for _ in range(draws.count)],
            stop_ids=self.codec.stop_ids,
            max_new_tokens=self.max_new_tokens,
            batch=self.batch,
            sampling=Sampling(temperature=draws.temperature, top_p=draws.top_p),
            seeds=[
                random.Random(f"{seed} {number} {record.id}").getrandbits(63)
                for record in records
                for number in range(draws.count)
            ],
            after=after,
        )
        said = iter(answers)
        return [tuple(next(said).text for _ in range(draws.count)) for _ in records]

    def classify(self, records: Sequence[Record], after: Done) -> list[Prediction]:
        """The head's labels: the likeliest, or all that are likely where rows may have several."""
        from tunesmith.models.inference.score import classify

        # What is read does not hang on what is right, which may be a label the model does not know.
        places, examples = self._encoded([replace(record, labels=self.codec.labels[:1]) for record in records])
        made = [Prediction(record, "", right_label(record)) for record in records]
        sure_NC, _ = classify(self.model, examples, batch=self.batch, after=after)
        names = self.model.labels
        for place, example, sure_C in zip(places, examples, np.asarray(sure_NC, np.float64), strict=True):
            record = records[place]
            given = np.flatnonzero(sure_C >= THRESHOLD) if self.model.multi_label else [int(sure_C.argmax())]
            made[place] = replace(
                made[place],
                output=JOINER.join(names[column] for column in given),
                scores=dict(zip(names, sure_C.tolist(), strict=True)),
                nll=_label_nll(record, names, sure_C, self.model.multi_label),
                num_tokens=1,
                num_chars=len(made[place].expected),
                measured=_tokens(len(example.ids), 0),
            )
        return made

    def tag(self, records: Sequence[Record], after: Done) -> list[Prediction]:
        """The spans that the tokens' tags spell."""
        from tunesmith.models.inference.score import tag

        places, examples = self._encoded([replace(record, spans=()) for record in records])
        made = [Prediction(record, "", _spelled_spans(record, record.spans or ()), spans=()) for record in records]
        found = tag(self.model, examples, batch=self.batch, after=after)
        for place, example, tags in zip(places, examples, found, strict=True):
            spans = self.codec.spans_of(records[place], tags.tolist())
            made[place] = replace(
                made[place],
                output=_spelled_spans(records[place], spans),
                spans=spans,
                measured=_tokens(len(example.ids), 0),
            )
        return made

    def prose(self, records: Sequence[Record], after: Done) -> list[Prediction]:
        """Nothing is asked of plain text; only its nll counts."""
        after(len(records))
        return [Prediction(record, output="", expected="") for record in records]

    def _encoded(self, records: Sequence[Record]) -> tuple[list[int], list[Example]]:
        """(place, example) of the records the codec takes; a record is one example here."""
        found = [(place, self.codec.encode(record)) for place, record in enumerate(records)]
        taken = [(place, examples[0]) for place, examples in found if examples]
        return [place for place, _ in taken], [example for _, example in taken]

    def _spelled(self, label: str) -> list[int]:
        """The tokens a model answers a label with, its stop token included."""
        turns = (Message("user", "?"), Message("assistant", label, trained=True))
        return answer_ids(self.codec, Record(id=label, source="", messages=turns))


def _tokens(read: int, written: int) -> dict[str, float]:
    return {PROMPT_TOKENS: float(read), ANSWER_TOKENS: float(written)}


def _shares(likely_NC: Floats) -> Floats:
    """Log-likelihoods as shares that sum to 1 for each record."""
    apart_NC = np.exp(likely_NC - likely_NC.max(axis=1, keepdims=True))
    shares: Floats = apart_NC / apart_NC.sum(axis=1, keepdims=True)
    return shares


def _label_nll(record: Record, names: Sequence[str], sure_C: Floats, multi_label: bool) -> float | None:
    """The cross-entropy the head was trained on; None where a right label is none of its own."""
    tiny = 1e-30
    right = [names.index(label) for label in record.labels if label in names]
    if len(right) != len(record.labels) or not (right or multi_label):
        return None
    if not multi_label:
        return -math.log(max(float(sure_C[right[0]]), tiny))
    has = np.isin(np.arange(len(names)), right)
    return -float(np.log(np.maximum(np.where(has, sure_C, 1 - sure_C), tiny)).sum())


def _spelled_spans(record: Record, spans: Sequence[Span]) -> str:
    text = record.text or ""
    return "; ".join(f"{span.label}: {text[span.start : span.end]}" for span in spans)
