"""A word count with a linear model on it: what a tuned model has to beat to be worth its cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from tunesmith.errors import DataError
from tunesmith.evaluate.arms import Arm, Bench
from tunesmith.evaluate.predict import THRESHOLD
from tunesmith.evaluate.predict.clock import timed
from tunesmith.evaluate.statistics.drawn import drawn
from tunesmith.metrics._labels import JOINER, right_label
from tunesmith.records import Prediction, Record

STRENGTHS = (1.0, 8.0, 64.0)
"""Inverse regularisation of the logistic regression; which one is chosen on the validation rows."""


class Linear(Arm):
    """TF-IDF of words and pairs of words, and a logistic regression over them, learned from the training rows."""

    of_labels: ClassVar[bool] = True
    max_rows: int = Field(default=50_000, ge=100)
    """Learn from at most this many training rows, drawn by the split's seed."""

    def answer(self, bench: Bench) -> list[Prediction]:
        labelled = [record for record in bench.train if right_label(record)]
        train = drawn(labelled, self.max_rows, bench.seed)
        if len({right_label(record) for record in train}) < 2:
            raise DataError(
                "the training rows have fewer than two labels, so there is nothing to tell apart",
                where="evaluate.arms",
                fix="leave the arm `linear` out",
            )
        words = WordCounts([record.question for record in train], [_labels(record) for record in train])
        strengths = STRENGTHS if bench.validation else STRENGTHS[1:2]
        tried = []
        for done, strength in enumerate(strengths):
            bench.progress(done, len(strengths) + 1)
            tried.append(words.fit(strength, bench.seed))
        best = max(tried, key=lambda model: (model.right_on(bench.validation), -model.strength))
        bench.note(rows=len(train), features=words.num_features, inverse_regularisation=best.strength)
        made = best.predict(bench.rows)
        return timed(made, bench.rows, lambda rows, after: best.predict(rows), bench.alone, lambda done: None)


class WordCounts:
    """Texts as weighted counts of their words and pairs of words, and labels as columns.

    Args:
        texts: what is learned from.
        labels: of each text.
    """

    def __init__(self, texts: Sequence[str], labels: Sequence[tuple[str, ...]]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.labels = sorted({label for of_text in labels for label in of_text})
        self.several = any(len(of_text) != 1 for of_text in labels)
        # Any run of letters or signs is a word: a tokenizer for English words would be blind to other scripts.
        pattern = r"(?u)\b\w+\b|[^\w\s]"
        self.counts = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=pattern, dtype=np.float64)
        self._given, self._counted = labels, self.counts.fit_transform(texts)
        self.num_features = len(self.counts.vocabulary_)

    def fit(self, strength: float, seed: int) -> FittedWords:
        """A logistic regression over the counts; one for each label where a text may have several."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier

        regression = LogisticRegression(C=strength, max_iter=1000, tol=1e-3, random_state=seed)
        if not self.several:
            place = {label: column for column, label in enumerate(self.labels)}
            right = np.array([place[of_text[0]] for of_text in self._given])
            return FittedWords(self, regression.fit(self._counted, right), strength)
        has = np.array([[label in of_text for label in self.labels] for of_text in self._given], dtype=np.int64)
        return FittedWords(self, OneVsRestClassifier(regression).fit(self._counted, has), strength)


class FittedWords:
    """A fitted regression."""

    def __init__(self, words: WordCounts, regression: Any, strength: float) -> None:
        self.words, self.regression, self.strength = words, regression, strength

    def given(self, texts: Sequence[str]) -> list[str]:
        """The likeliest label of each text, where a text has one."""
        if not texts:
            return []
        sure_NC = self.regression.predict_proba(self.words.counts.transform(texts))
        return [self.words.labels[column] for column in sure_NC.argmax(axis=1)]

    def strongest(self, count: int) -> dict[str, list[tuple[str, float]]]:
        """Label -> the words and pairs that speak most for it, with their weights, of texts with one label."""
        weights_CF = self.regression.coef_
        if len(weights_CF) == 1:  # of two labels the second one's
            weights_CF = np.concatenate([-weights_CF, weights_CF])
        names = self.words.counts.get_feature_names_out()
        return {
            label: [
                (str(names[at]), float(weights_F[at])) for at in np.argsort(-weights_F)[:count] if weights_F[at] > 0
            ]
            for label, weights_F in zip(self.words.labels, weights_CF, strict=True)
        }

    def predict(self, rows: Sequence[Record]) -> list[Prediction]:
        """The likeliest label, or all that are likely where rows may have several."""
        if not rows:
            return []
        names = self.words.labels
        sure_NC = self.regression.predict_proba(self.words.counts.transform([record.question for record in rows]))
        made = []
        for record, sure_C in zip(rows, sure_NC, strict=True):
            given = np.flatnonzero(sure_C >= THRESHOLD) if self.words.several else [int(sure_C.argmax())]
            made.append(
                Prediction(
                    record,
                    output=JOINER.join(names[column] for column in given),
                    expected=right_label(record),
                    scores=dict(zip(names, sure_C.tolist(), strict=True)),
                )
            )
        return made

    def right_on(self, rows: Sequence[Record]) -> float:
        """The share of rows whose labels are right."""
        return float(np.mean([row.output == row.expected for row in self.predict(rows)])) if rows else 0.0


def _labels(record: Record) -> tuple[str, ...]:
    return record.labels or (right_label(record),)
