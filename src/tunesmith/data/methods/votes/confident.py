"""Labels that look wrong, by confident learning (Northcutt, Jiang and Chuang, JAIR 70, 2021).

Everything follows from the probabilities that a model gives to rows it was not trained on. A row counts as
confidently of a label when its probability reaches the mean probability of that label among the rows that carry it.

N rows, C labels (G as given, T as they seem to be).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.votes.table import Floats, Ints, tally

_SLACK = 1e-6
"""Probabilities this near below a threshold reach it: they are rounded when models are stored."""

Rule = Literal["lowest", "confident", "noise_rate"]
Score = Literal["normalized_margin", "self_confidence"]


@dataclass(frozen=True)
class Errors:
    """What looks wrong among given labels."""

    wrong_N: npt.NDArray[np.bool_]
    score_N: Floats
    """How much a label looks right, 0 to 1, whatever the rule says."""
    suggested_N: Ints
    """The likeliest label of each row."""
    joint_GT: Floats
    """Rows by the label given and the one they seem to have; each given label has as many rows as it has."""
    thresholds_C: Floats

    @property
    def rate(self) -> float:
        """The estimated share of wrong labels, whether or not their rows can be told."""
        total = self.joint_GT.sum()
        return float(1 - np.trace(self.joint_GT) / total) if total else 0.0

    @property
    def ranked(self) -> Ints:
        """The rows that look wrong, the worst first."""
        found = np.flatnonzero(self.wrong_N)
        return found[np.argsort(self.score_N[found], kind="stable")]


def find_errors(
    given_N: Ints, probabilities_NC: Floats, *, rule: Rule = "lowest", score: Score = "self_confidence"
) -> Errors:
    """Finds the labels that look wrong.

    Args:
        given_N: the number of each row's label.
        probabilities_NC: of a model that did not learn the row.
        rule: `confident` takes every row that is confidently of another label than it was given; `lowest` takes as many
            rows, but those with the lowest score; `noise_rate` takes of each pair of labels as many rows as are
            estimated to be wrong that way, those with the largest margin.
        score: what `score_N` and the ranking are.
    """
    thresholds_C = thresholds(given_N, probabilities_NC)
    seems_N = confident_labels(probabilities_NC, thresholds_C)
    joint_GT = confident_joint(given_N, seems_N, len(thresholds_C))
    suggested_N = probabilities_NC.argmax(1)
    score_N = label_scores(given_N, probabilities_NC, score)
    wrong_N = (seems_N >= 0) & (seems_N != given_N)
    if rule == "lowest":
        lowest = np.argsort(score_N, kind="stable")[: int((wrong_N & (suggested_N != given_N)).sum())]
        wrong_N = np.zeros(len(given_N), bool)
        wrong_N[lowest] = True
    elif rule == "noise_rate":
        wrong_N = _by_noise_rate(given_N, probabilities_NC, joint_GT)
    # A row whose likeliest label is the given one is never called wrong, however low that threshold is.
    wrong_N &= suggested_N != given_N
    return Errors(wrong_N, score_N, suggested_N, joint_GT, thresholds_C)


def thresholds(given_N: Ints, probabilities_NC: Floats) -> Floats:
    """The mean probability of each label among the rows that carry it; out of reach for labels that none does."""
    size = probabilities_NC.shape[1]
    own_N = probabilities_NC[np.arange(len(given_N)), given_N]
    rows_C = tally(given_N, None, size)
    sums_C = tally(given_N, own_N, size)
    return np.asarray(np.divide(sums_C, rows_C, out=np.full(size, 2.0), where=rows_C > 0))


def confident_labels(probabilities_NC: Floats, thresholds_C: Floats) -> Ints:
    """The label each row is confidently of, the likeliest of several; -1 where there is none."""
    reached_NC = probabilities_NC >= thresholds_C - _SLACK
    best_N = np.where(reached_NC, probabilities_NC, -1.0).argmax(1)
    return np.where(reached_NC.any(1), best_N, -1)


def confident_joint(given_N: Ints, seems_N: Ints, size: int) -> Floats:
    """[G, T]: the counts of confident rows, scaled so that each given label has as many rows as it has."""
    sure_N = seems_N >= 0
    counts_GT = tally(given_N[sure_N] * size + seems_N[sure_N], None, size * size).reshape(size, size)
    # A label without one confident row is taken to be right, not to be always wrong.
    np.fill_diagonal(counts_GT, np.maximum(np.diagonal(counts_GT), 1))
    rows_G = tally(given_N, None, size)
    return np.asarray(counts_GT / counts_GT.sum(1, keepdims=True) * rows_G[:, None])


def label_scores(given_N: Ints, probabilities_NC: Floats, score: Score) -> Floats:
    """How much each label looks right: its probability, or half of one more than its lead over the next likeliest."""
    rows = np.arange(len(given_N))
    own_N = probabilities_NC[rows, given_N]
    if score == "self_confidence":
        return np.asarray(own_N)
    others_NC = probabilities_NC.copy()
    others_NC[rows, given_N] = -1.0
    return np.asarray((own_N - others_NC.max(1) + 1) / 2)


def _by_noise_rate(given_N: Ints, probabilities_NC: Floats, joint_GT: Floats) -> npt.NDArray[np.bool_]:
    """For each pair of labels the rows with the largest margins, as many as the joint says."""
    wrong_N = np.zeros(len(given_N), bool)
    for given, seems in zip(*np.nonzero(np.round(joint_GT)), strict=True):
        if given != seems:
            rows = np.flatnonzero(given_N == given)
            margins = probabilities_NC[rows, seems] - probabilities_NC[rows, given]
            wrong_N[rows[np.argsort(-margins, kind="stable")[: round(joint_GT[given, seems])]]] = True
    return wrong_N
