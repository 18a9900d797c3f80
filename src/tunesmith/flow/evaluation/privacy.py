"""Attacks on the privacy of a run's training rows: which rows, which model, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tunesmith.data.methods.canaries import STEP, frame
from tunesmith.evaluate.privacy import Exposed, Extraction, Membership, Privacy
from tunesmith.evaluate.privacy import extraction as reciting
from tunesmith.evaluate.privacy.alike import sides
from tunesmith.evaluate.privacy.exposure import alternatives, bits_of, exposed, planted
from tunesmith.evaluate.privacy.losses import losses_of
from tunesmith.evaluate.privacy.membership import attacked, enough, scores_of
from tunesmith.evaluate.statistics.drawn import drawn
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.data.privacy import NO_HELD_OUT, plants
from tunesmith.flow.evaluation.bench import Bench
from tunesmith.metrics import Floats, Rows
from tunesmith.metrics._measured import ATTACKS, EXPOSURE, EXTRACTED, MEMBER, MOST_EXPOSED
from tunesmith.records import Prediction, Record
from tunesmith.runs import Run, write_json
from tunesmith.spec.sections import Privacy as Settings


def privacy(run: Run, job: Job, bench: Bench) -> dict[Rows, Sequence[Prediction]]:
    """Attacks the tuned model as `evaluate.privacy` says and leaves `evaluation/privacy.json`.

    Returns:
        The rows that were attacked with what was measured of each, under `privacy`; nothing where it was not asked.
    """
    settings = job.spec.evaluate.privacy
    if settings is None:
        return {}
    bench.arm = "privacy"
    found, rows = _Attacks(job, bench, settings).carried_out()
    write_json(run / "evaluation" / "privacy.json", found.to_json())
    return {"privacy": rows}


@dataclass
class _Attacks:
    """One model under attack."""

    job: Job
    bench: Bench
    settings: Settings

    def __post_init__(self) -> None:
        job, settings = self.job, self.settings
        self.stage = job.spec.train[-1]
        self.seed, self.confidence = job.spec.data.split.seed, job.spec.evaluate.confidence
        self.writes = job.objective(self.stage).head == "lm"
        # Asked as they were when they were learned, each in its own wording.
        self.rendered = partial(job.render, self.stage, learned=True)
        self.canaries, self.planted_rows = planted(job.splits["train"]) if plants(job.spec) else ([], 0)
        self.members: list[Record] = []
        self.held_out: list[Record] = []
        self.near_copies = 0
        if len(job.splits["test"]):
            self.members, self.held_out, self.near_copies = sides(
                job.splits["train"], job.splits["test"], settings.rows, self.seed
            )
        own = [record for record in job.splits["train"] if record.parent is None]
        self.recited = self.members or list(drawn(own, settings.rows, self.seed))
        self.tests = (3 if self.writes else 2) + bool(self.canaries) + self.writes
        self.level = (1 - self.confidence) / self.tests
        self.measured: dict[str, dict[str, float]] = {}

    def carried_out(self) -> tuple[Privacy, list[Prediction]]:
        """What all attacks come to, and the rows with what was measured of each."""
        others = alternatives(self.canaries, self.settings.alternatives, self.seed)
        rows = [*self.members, *self.held_out]
        asked = self.rendered([*rows, *self.canaries, *(record for drawn in others.values() for record in drawn)])
        tuned = self._losses("tuned", asked)
        extraction = self._extraction() if self.writes else None
        base = self._losses("base", asked) if self.writes else None
        found = Privacy(
            confidence=self.confidence,
            tests=self.tests,
            membership=self._membership(tuned[: len(rows)], base and base[: len(rows)]),
            exposure=self._exposure(others, _sums(tuned, base)[len(rows) :]),
            extraction=extraction,
            notes=list(self._notes()),
        )
        records = {record.id: record for record in (*rows, *self.recited, *self.canaries)}
        made = [
            Prediction(records[name], output="", expected="", measured=values) for name, values in self.measured.items()
        ]
        return found, made

    def _losses(self, model: str, records: Sequence[Record]) -> list[Floats]:
        opened = self.bench.open(model)
        return losses_of(
            opened.model, opened.codec, records, batch=self.job.spec.scale.batch, after=self.bench.progress
        )

    def _measure(self, record: Record, **values: float) -> None:
        self.measured.setdefault(record.id, {}).update(values)

    def _membership(self, tuned: Sequence[Floats], base: Sequence[Floats] | None) -> Membership | None:
        if not len(self.job.splits["test"]):
            return None
        scores = scores_of(tuned, base, self.settings.min_k.value)
        found = attacked(
            self.members,
            self.held_out,
            scores,
            near_copies=self.near_copies,
            level=self.level,
            confidence=self.confidence,
            seed=self.seed,
        )
        if found.attacks:
            for place, record in enumerate((*self.members, *self.held_out)):
                told = {ATTACKS[name]: float(values[place]) for name, values in scores.items()}
                if all(map(np.isfinite, told.values())):
                    self._measure(record, **{MEMBER: float(place < len(self.members)), **told})
        return found

    def _exposure(self, others: Mapping[tuple[object, ...], Sequence[Record]], nats: Floats) -> Exposed | None:
        if not self.canaries:
            return None
        own, drawn = nats[: len(self.canaries)], nats[len(self.canaries) :]
        count = self.settings.alternatives
        by_frame = {key: drawn[at * count : (at + 1) * count] for at, key in enumerate(others)}
        bits = [bits_of(value, by_frame[frame(row)]) for value, row in zip(own.tolist(), self.canaries, strict=True)]
        for record, value in zip(self.canaries, bits, strict=True):
            self._measure(record, **{EXPOSURE: value, MOST_EXPOSED: float(np.log2(count + 1))})
        return exposed(
            self.canaries,
            self.planted_rows,
            np.array(bits),
            count,
            level=self.level,
            confidence=self.confidence,
            seed=self.seed,
        )

    def _extraction(self) -> Extraction:
        opened, settings = self.bench.open("tuned"), self.settings
        ours, theirs = (list(self.rendered(rows)) for rows in (self.recited, self.held_out))
        trained, held_out = (
            reciting.beginnings(opened.codec, rows, settings.shown, settings.recited) for rows in (ours, theirs)
        )
        trained, held_out = reciting.unheard(trained, held_out), reciting.unheard(held_out, trained)
        data = reciting.personal(opened.codec, ours, theirs)
        asked = [*trained, *held_out, *data]
        said = iter(
            reciting.answers(
                opened.model, opened.codec, asked, batch=self.job.spec.scale.batch, after=self.bench.progress
            )
        )
        told = [[(question, next(said)) for question in questions] for questions in (trained, held_out, data)]
        for kind, answered in (("rows", told[0]), ("personal", told[2])):
            for question, right in answered:
                known = self.measured.get(ours[question.row].id, {}).get(EXTRACTED[kind], 0.0)
                self._measure(ours[question.row], **{EXTRACTED[kind]: max(known, float(right))})
        return reciting.extracted(
            ours,
            *told,
            shown=settings.shown,
            recited=settings.recited,
            level=self.level,
            confidence=self.confidence,
        )

    def _notes(self) -> Iterator[str]:
        if not len(self.job.splits["test"]):
            yield f"Membership was not tried: {NO_HELD_OUT}."
        elif not enough(len(self.members), len(self.held_out)):
            yield "Membership was not tried: too few rows are left on either side once near copies are taken out."
        if not self.writes:
            yield "Nothing was asked to be recited, and no attack is calibrated by the base: the model gives labels."
        if not self.canaries:
            yield f"No canaries were planted; add `{STEP}` to data.steps to measure exposure."


def _sums(tuned: Sequence[Floats], base: Sequence[Floats] | None) -> Floats:
    """[N] nats of each row, less those of the base where it has any."""
    sums = np.array([nats.sum() for nats in tuned])
    return sums if base is None else sums - np.array([nats.sum() for nats in base])
