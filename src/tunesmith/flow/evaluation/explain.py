"""What a run's tuned model rests its answers on: which rows are asked, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.methods.augmenting.target import said
from tunesmith.evaluate.explain import nearest as near
from tunesmith.evaluate.explain import shortcuts as hanging
from tunesmith.evaluate.explain.found import Explained, Explanation, Nearest, Probe, Sanity, Shortcuts, Surrogate
from tunesmith.evaluate.explain.probes import layers_of, probe
from tunesmith.evaluate.explain.rows import choose, explain
from tunesmith.evaluate.explain.surrogate import surrogate
from tunesmith.evaluate.predict import provides
from tunesmith.evaluate.predict.stored import write_predictions
from tunesmith.evaluate.statistics.drawn import drawn
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.evaluation.bench import Bench
from tunesmith.metrics import Rows
from tunesmith.metrics.shortcut import Shortcut
from tunesmith.models.inference.inside import num_layers, states
from tunesmith.records import Prediction, Record
from tunesmith.runs import Run, write_json
from tunesmith.spec.rooms.explain import Explain

PROSE = "Answers are words, of which any word of a question may change some: no shortcut, surrogate or probe of labels."
SEVERAL = "Rows may have several labels, so that no surrogate or probe of labels was fitted."


def explain_answers(
    run: Run, job: Job, arms: Mapping[str, Sequence[Prediction]], bench: Bench
) -> dict[Rows, Sequence[Prediction]]:
    """Looks at the tuned model as `evaluate.explain` asks and leaves `evaluation/explain.json`.

    Args:
        arms: arm -> what it said of the test rows that were not trained on.
        bench: asks the tuned model.

    Returns:
        The rows that were asked again without words, for the metric `shortcut`; nothing where it was not asked.
    """
    settings = job.spec.evaluate.explain
    if settings is None:
        return {}
    bench.arm = "explain"
    looking = _Looking(job, bench, settings, arms["tuned"])
    rows, shortcuts = looking.shortcuts() if looking.labelled else ([], None)
    answered = looking.surrogate() if looking.single else None
    probes, nearest, explained, sanity = looking.inside()
    found = Explanation(
        rows=len(looking.rows),
        confidence=job.spec.evaluate.confidence,
        shortcuts=shortcuts,
        explained=explained,
        sanity=sanity,
        probes=probes,
        surrogate=answered,
        nearest=nearest,
        notes=[*([] if looking.labelled else [PROSE]), *([SEVERAL] if job.multi_label else [])],
    )
    write_json(run / "evaluation" / "explain.json", found.to_json())
    write_predictions(run / "evaluation" / "explain.parquet", rows)
    return {"without_words": rows}


@dataclass
class _Looking:
    """One model that is looked into."""

    job: Job
    bench: Bench
    settings: Explain
    tuned: Sequence[Prediction]

    def __post_init__(self) -> None:
        job, seed = self.job, self.job.spec.data.split.seed
        self.seed, self.confidence = seed, job.spec.evaluate.confidence
        self.labelled = "label" in provides(job.manner(job.spec.train[-1]), job.spec.goal.task)
        self.single = self.labelled and not job.multi_label
        answers = {row.record.id: row for row in self.tuned}
        records = drawn([row for row in self.bench.rows if row.id in answers], self.settings.rows, seed)
        # Rows as the data hold them: what a prediction carries is rendered already.
        self.rows = [replace(answers[record.id], record=record) for record in records]
        own = [record for record in self.bench.train if record.parent is None]
        self.train = list(drawn(own, self.settings.train_rows, seed))

    def _answers(self, rows: Sequence[Record]) -> list[str]:
        return [row.output for row in self.bench.ask("tuned", rows)] if rows else []

    def shortcuts(self) -> tuple[list[Prediction], Shortcuts]:
        """Words that right answers hang on, and the rows that were asked without words."""
        hangs, turns = self.settings.hangs.value, self.settings.turns.value
        right = [row for row in self.rows if row.output == row.expected]
        words = hanging.candidates([row.record for row in right], self.train, self.settings.words, self._named)
        asked, questions = hanging.questions(right, words)
        answers = self._answers(questions)
        found = hanging.tried(right, words, asked, answers, hangs=hangs, turns=turns, confidence=self.confidence)
        named = [
            hanging.looked_into(each, right, self.rows, self.train, confidence=self.confidence, seed=self.seed)
            for each in hanging.named(found, self.confidence)
        ]
        rows = hanging.measured(right, words, asked, answers)
        return rows, Shortcuts(hangs, turns, len(right), len(asked), found, named)

    @property
    def _named(self) -> list[str]:
        """Words that targets and metrics name."""
        spec = self.job.spec
        metrics = [*(spec.evaluate.metrics or []), *(target.metric for target in spec.goal.targets)]
        return [metric.word for metric in metrics if isinstance(metric, Shortcut) and metric.word is not None]

    def surrogate(self) -> Surrogate | None:
        """A count of words that says what the model says."""
        texts = [said(record) for record in self.train]
        return surrogate(
            list(zip(texts, self._answers(self.train), strict=True)),
            [(said(row.record), row.output) for row in self.rows],
            confidence=self.confidence,
            seed=self.seed,
        )

    def inside(self) -> tuple[list[Probe], Nearest | None, list[Explained], Sanity | None]:
        """What hidden states say, whose are near, and single rows explained."""
        opened, batch = self.bench.open("tuned"), self.job.spec.scale.batch
        model, codec = opened.model, opened.codec

        def ask(records: Sequence[Record]) -> Sequence[Record]:
            return records if codec.need == "label" else self.job.asked(records)

        def read(records: Sequence[Record]) -> list[list[int]]:
            return [codec.prompt_ids(record) for record in ask(records)]

        count = num_layers(model)
        layers = layers_of(count)
        after = partial(self.bench.progress, total=len(self.rows) + len(self.train))
        of_rows_LND = states(model, read([row.record for row in self.rows]), layers, batch=batch, after=after)
        of_train_MD = states(model, read(self.train), [count], batch=batch, after=after)[0]
        neighbours = near.neighbours(of_rows_LND[-1], of_train_MD, self.train)
        by_id = {row.record.id: found for row, found in zip(self.rows, neighbours, strict=True)}
        explained, sanity = explain(
            model,
            codec,
            choose(self.rows, self.settings.shown),
            ask,
            batch=batch,
            confidence=self.confidence,
            seed=self.seed,
        )
        return (
            self._probes(of_rows_LND, layers),
            near.nearest(self.rows, neighbours, self.train, confidence=self.confidence) if self.single else None,
            [replace(each, neighbours=by_id[each.id][: near.SHOWN]) for each in explained],
            sanity,
        )

    def _probes(self, states_LND: NDArray[np.float32], layers: Sequence[int]) -> list[Probe]:
        columns = {column: [row.record.slices.get(column, "") for row in self.rows] for column in self.settings.probes}
        if self.single:
            columns = {"label": [row.expected for row in self.rows], **columns}
        found = [
            probe(column, values, states_LND, layers, confidence=self.confidence, seed=self.seed)
            for column, values in columns.items()
        ]
        return [each for each in found if each is not None]
