"""Finds rows whose label looks wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from pydantic import Field

from tunesmith.data.methods.votes import out_of_fold
from tunesmith.data.methods.votes.confident import Errors, find_errors
from tunesmith.data.methods.votes.table import Floats, Ints
from tunesmith.data.rewrite import texts
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, change, drop
from tunesmith.records import Record

LOOKS_WRONG = "label looks wrong"
WEIGHED = "weight lowered, since the label looks wrong"

_LISTED = 1000
"""The most suspicious rows whose ids are kept in the ledger."""
_EXCERPT = 300


class LabelErrors(Step):
    """Finds labels that look wrong by confident learning: models that did not see a row say how likely its label is.
    The worst are shown; nothing is dropped or weighed unless asked.
    """

    action: Literal["report", "drop", "weigh"] = "report"
    """What becomes of rows whose label looks wrong: shown only, left out, or counted in the loss by how likely their
    label is."""
    rule: Literal["lowest", "confident", "noise_rate"] = "lowest"
    """Which rows look wrong: as many as are confidently of another label, those with the lowest score; these very rows;
    or of each pair of labels as many as are estimated to be taken for each other."""
    score: Literal["self_confidence", "normalized_margin"] = "self_confidence"
    """What they are ranked by: the probability of their label, or what it is above that of the likeliest other."""
    model: str | None = None
    """An embedder that texts are compared by; left out, their words are."""
    folds: int = Field(default=5, ge=2, le=20)
    """So many models each leave out one part of the rows. A label needs as many different texts."""

    def models(self) -> tuple[str, ...]:
        return (self.model,) if self.model else ()

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        names: dict[str, int] = {}
        given = np.full(len(records), -1, np.int64)
        keys = np.zeros(len(records), "S16")
        for row, (label, key) in enumerate(room.look(_labelled, records)):
            keys[row] = key
            if label is not None:
                given[row] = names.setdefault(label, len(names))
        labels = sorted(names)
        given[given >= 0] = np.array([labels.index(name) for name in names], np.int64)[given[given >= 0]]
        rows = self._judged(given, keys, labels, room)
        if not len(rows):
            return iter([KEEP] * len(records))
        used, compact = np.unique(given[rows], return_inverse=True)
        probabilities_NC = self._probabilities(records, rows, compact, keys[rows], room)
        errors = find_errors(compact, probabilities_NC, rule=self.rule, score=self.score)
        self._tell(errors, probabilities_NC, records, rows, [labels[label] for label in used], compact, room)
        own_N = probabilities_NC[np.arange(len(rows)), compact]
        suspects = dict(zip(rows[errors.wrong_N].tolist(), own_N[errors.wrong_N].tolist(), strict=True))
        suggested = dict(zip(rows.tolist(), (labels[used[label]] for label in errors.suggested_N), strict=True))
        return self._outcomes(records, suspects, suggested)

    def _outcomes(
        self, records: Sequence[Record], suspects: dict[int, float], suggested: dict[int, str]
    ) -> Iterator[Outcome]:
        for row, record in enumerate(records):
            if row not in suspects or self.action == "report":
                yield KEEP
            elif self.action == "drop":
                yield drop(LOOKS_WRONG, f"{record.label} at {suspects[row]:.3f}, perhaps {suggested[row]}")
            else:
                yield change(replace(record, weight=record.weight * suspects[row]), WEIGHED)

    def _judged(self, given: Ints, keys: np.ndarray[Any, Any], labels: Sequence[str], room: Room) -> Ints:
        """The rows that can be judged: one label, of which there are enough."""
        rows = np.flatnonzero(given >= 0)
        if len(rows) < len(given):
            room.note(f"{len(given) - len(rows)} rows without exactly one label are not judged")
        few = out_of_fold.few(keys[rows], given[rows], len(labels), self.folds) if len(rows) else np.zeros(0, bool)
        if few.any():
            said = ", ".join(labels[label] for label in np.flatnonzero(few)[:5]) + (" ..." if few.sum() > 5 else "")
            room.note(f"labels with fewer than {self.folds} different texts are not judged: {said}")
            rows = rows[~few[given[rows]]]
        if len(np.unique(given[rows])) < 2:
            room.note("no labels were judged: there are not two of them with enough rows")
            return rows[:0]
        return rows

    def _probabilities(
        self, records: Sequence[Record], rows: Ints, given: Ints, keys: np.ndarray[Any, Any], room: Room
    ) -> Floats:
        """Of each judged row, by models that did not learn from it or from a copy of it."""
        fold = out_of_fold.folds_of(keys, given, self.folds, room.seed)
        taken = out_of_fold.sampled(given, room.seed)
        learned = list(_texts(records, rows[taken]))
        features = self._features(learned, room)
        models = out_of_fold.learn(features(learned), given[taken], fold[taken], self.folds)
        return out_of_fold.predict(models, _texts(records, rows), features, fold, int(given.max()) + 1)

    def _features(self, learned: Sequence[str], room: Room) -> Callable[[Sequence[str]], Any]:
        return room.models.embedder(self.model).embed if self.model else out_of_fold.Words(learned)

    def _tell(
        self,
        errors: Errors,
        probabilities_NC: Floats,
        records: Sequence[Record],
        rows: Ints,
        labels: Sequence[str],
        given: Ints,
        room: Room,
    ) -> None:
        size, ranked = len(labels), errors.ranked
        room.measured("score of the label", errors.score_N, low=_cut(errors))
        of_label = np.bincount(given, minlength=size)
        wrong_C = np.bincount(given[errors.wrong_N], minlength=size)
        off_GT = errors.joint_GT - np.diag(np.diagonal(errors.joint_GT))
        right = float((probabilities_NC.argmax(1) == given).mean())
        room.figure(
            "label errors",
            {
                "judged": len(rows),
                "look_wrong": len(ranked),
                "estimated_rate": errors.rate,
                "agreement_of_models": right,
                "labels": {
                    name: {
                        "rows": int(of_label[label]),
                        "look_wrong": int(wrong_C[label]),
                        "estimated_wrong": float(off_GT[label].sum()),
                        "mostly_for": labels[int(off_GT[label].argmax())] if off_GT[label].any() else None,
                    }
                    for label, name in enumerate(labels)
                },
            },
        )

        def suspect(place: int) -> dict[str, Any]:
            record = records[int(rows[place])]
            return {
                "id": record.id,
                "source": record.source,
                "label": labels[given[place]],
                "suggested": labels[errors.suggested_N[place]],
                "score": round(float(errors.score_N[place]), 4),
            }

        room.figure("suspicious rows", [suspect(place) for place in ranked[:_LISTED].tolist()])
        shown = ranked[:30].tolist()
        room.show(
            "labels that look wrong",
            ({**suspect(place), "text": records[int(rows[place])].content()[:_EXCERPT]} for place in shown),
        )
        done = {"report": "none is dropped", "drop": "they are dropped", "weigh": "they count less"}[self.action]
        room.note(
            f"{len(ranked)} of {len(rows)} labels look wrong ({errors.rate:.1%} are estimated to be); {done}. "
            f"The models that judged them name the given label in {right:.1%} of the rows"
        )


def _cut(errors: Errors) -> float | None:
    """The score up to which labels look wrong, where the score alone decides."""
    found = errors.score_N[errors.wrong_N]
    fine = errors.score_N[~errors.wrong_N]
    return float(found.max()) if len(found) and (not len(fine) or found.max() <= fine.min()) else None


def _labelled(record: Record) -> tuple[str | None, bytes]:
    text = "\n".join(texts(record))
    return record.label, blake2b(" ".join(text.split()).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _texts(records: Sequence[Record], rows: Ints) -> Iterator[str]:
    wanted = set(rows.tolist())
    for row, record in enumerate(records):
        if row in wanted:
            yield "\n".join(texts(record))
