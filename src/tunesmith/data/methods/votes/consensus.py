"""What annotators hold together: majority, Dawid and Skene's EM, its one-coin form, and MACE.

P patterns, V votes, A annotators, C labels (T where it is the right one, S where it is what was said).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.votes.table import Floats, Ints, Votes

TOLERANCE = 1e-7
"""EM has come to its end when the log-likelihood of an item changes by less."""
_TINY = 1e-15
_TRACE = 0.01
"""A part of a vote, so that no cell of the pooled matrix is impossible."""


@dataclass(frozen=True)
class Consensus:
    """The labels of all items, as probabilities, and what was learned of the annotators on the way."""

    posterior_PC: Floats
    """Of each pattern, how likely each label is the right one; of majority, the shares of the votes."""
    confusion_ATS: Floats | None
    """Of each annotator, how often an item of label T is called S; None where a method does not ask."""
    knows_A: Floats | None = None
    """MACE's competence: how often an annotator looks instead of guessing."""
    iterations: int = 0
    converged: bool = True
    log_likelihood: float = np.nan

    @property
    def label_P(self) -> Ints:
        """The likeliest label of each pattern, the first of equals."""
        return np.asarray(self.posterior_PC.argmax(1))

    @property
    def confidence_P(self) -> Floats:
        """How likely it is right."""
        return np.asarray(self.posterior_PC.max(1)) if self.posterior_PC.size else np.zeros(len(self.posterior_PC))


def majority(votes: Votes) -> Consensus:
    """The shares of the votes. Of labels with equally many votes on an item the one that is commoner in all votes gets
    the item, then the first by the alphabet; its share says how weak that is."""
    counts_PC = votes.counts_PC
    shares_PC = counts_PC / np.maximum(counts_PC.sum(1, keepdims=True), 1)
    return Consensus(_first_of_equals(shares_PC, votes), None)


def tied(votes: Votes) -> npt.NDArray[np.bool_]:
    """The patterns in which two labels have the most votes."""
    counts_PC = votes.counts_PC
    return np.asarray((counts_PC == counts_PC.max(1, keepdims=True)).sum(1) > 1)


def _first_of_equals(shares_PC: Floats, votes: Votes) -> Floats:
    """The same shares with a trace more for labels that are commoner, so that the largest is the rule's."""
    said_C = votes.count_P @ votes.counts_PC
    rank_C = np.argsort(np.argsort(-said_C, kind="stable"))
    return shares_PC - rank_C * 1e-12


def dawid_skene(votes: Votes, *, smoothing: float = 3.0, most: int = 500) -> Consensus:
    """Dawid and Skene (Applied Statistics 28, 1979): every annotator has a confusion matrix, every label a share, and
    both follow from how likely each label is, which follows from both.

    Args:
        smoothing: votes after the pooled matrix of all annotators that each of them is taken to have cast on every
            label beforehand. Without any, few votes of many annotators are learned by heart.
        most: iterations.
    """

    def maximise(posterior_PC: Floats, marks: Marks) -> Floats:
        counts_ATS = marks.counted(posterior_PC)
        return shares(counts_ATS + smoothing * shares(counts_ATS.sum(0) + _TRACE))

    return expectation_maximisation(votes, Marks.of_votes(votes), maximise, most=most)


def one_coin(votes: Votes, *, smoothing: float = 3.0, most: int = 500) -> Consensus:
    """Dawid and Skene's model where an annotator is right equally often whatever the label, and wrong labels are
    equally likely: one number to learn of each, so it does with few votes. Arguments as there."""
    size = len(votes.labels)

    def maximise(posterior_PC: Floats, marks: Marks) -> Floats:
        counts_ATS = marks.counted(posterior_PC)
        right_A, total_A = np.trace(counts_ATS, axis1=1, axis2=2), counts_ATS.sum((1, 2))
        pooled = right_A.sum() / max(total_A.sum(), 1)
        share_A = (right_A + smoothing * pooled) / (total_A + smoothing).clip(_TINY)
        wrong_A = (1 - share_A) / max(size - 1, 1)
        return np.asarray(np.eye(size) * (share_A - wrong_A)[:, None, None] + wrong_A[:, None, None])

    return expectation_maximisation(votes, Marks.of_votes(votes), maximise, most=most)


@dataclass(frozen=True)
class Marks:
    """Which marks each pattern carries: annotator and what was said, one column each."""

    pattern_V: Ints
    column_V: Ints
    num_annotators: int
    num_said: int
    count_P: Floats

    @classmethod
    def of_votes(cls, votes: Votes) -> Marks:
        """One for each vote."""
        size = len(votes.labels)
        return cls(votes.of_V, votes.annotator_V * size + votes.label_V, len(votes.annotators), size, votes.count_P)

    def counted(self, posterior_PC: Floats) -> Floats:
        """[A, T, S]: how often each annotator said S where T is right, each item shared out by its posterior."""
        counted = self._matrix().T @ (posterior_PC * self.count_P[:, None])
        return np.asarray(counted).reshape(self.num_annotators, self.num_said, -1).transpose(0, 2, 1)

    def summed(self, log_ATS: Floats) -> Floats:
        """[P, T]: the sum over a pattern's marks."""
        return np.asarray(self._matrix() @ log_ATS.transpose(0, 2, 1).reshape(-1, log_ATS.shape[1]))

    def _matrix(self) -> Any:
        from scipy.sparse import csr_array

        shape = (len(self.count_P), self.num_annotators * self.num_said)
        return csr_array((np.ones(len(self.pattern_V)), (self.pattern_V, self.column_V)), shape=shape)


def expectation_maximisation(
    votes: Votes,
    marks: Marks,
    maximise: Callable[[Floats, Marks], Floats],
    *,
    most: int,
    start_PC: Floats | None = None,
    prior: Callable[[Floats], Floats] | None = None,
) -> Consensus:
    """EM over the labels of the items, in logarithms, from the shares of the votes on.

    Args:
        maximise: (posterior, marks) -> [A, T, S], how annotators call what.
        start_PC: where to begin instead.
        prior: posterior -> how common each label is; its mean when left out.
    """
    posterior_PC = majority(votes).posterior_PC.clip(0) if start_PC is None else start_PC
    total, before = max(float(marks.count_P.sum()), 1.0), -np.inf
    confusion_ATS, converged, iterations = maximise(posterior_PC, marks), False, 0
    for iterations in range(1, most + 1):  # noqa: B007 - how far it came
        prior_C = marks.count_P @ posterior_PC / total if prior is None else prior(posterior_PC)
        joint_PC = np.log(prior_C.clip(_TINY)) + marks.summed(np.log(confusion_ATS.clip(_TINY)))
        posterior_PC, evidence_P = normalised(joint_PC)
        likelihood = float(marks.count_P @ evidence_P) / total
        confusion_ATS = maximise(posterior_PC, marks)
        converged = abs(likelihood - before) < TOLERANCE
        before = likelihood
        if converged:
            break
    return Consensus(posterior_PC, confusion_ATS, None, iterations, converged, before * total)


def normalised(joint_PC: Floats) -> tuple[Floats, Floats]:
    """Probabilities of logarithms, row by row, and the logarithm of each row's sum."""
    if not joint_PC.size:
        return joint_PC, np.zeros(len(joint_PC))
    most_P = joint_PC.max(1, keepdims=True)
    shares_PC = np.exp(joint_PC - most_P)
    sum_P = shares_PC.sum(1, keepdims=True)
    return shares_PC / sum_P, (np.log(sum_P) + most_P)[:, 0]


def shares(counts: Floats) -> Floats:
    """Counts as parts of their sum along the last axis."""
    return np.asarray(counts / counts.sum(-1, keepdims=True).clip(_TINY))
