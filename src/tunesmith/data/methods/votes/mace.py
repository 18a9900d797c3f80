"""MACE: annotators either know an item's label or guess after a habit of their own.

P patterns, V votes, A annotators, C labels.
"""

from __future__ import annotations

import numpy as np

from tunesmith.data.methods.votes.consensus import TOLERANCE, Consensus, majority, normalised
from tunesmith.data.methods.votes.table import Floats, Votes, tally

_KNOWS = 0.5
"""Both parameters of the Beta prior of how often an annotator knows, as in the paper."""
_HABIT = 10.0
"""Parameter of the Dirichlet prior of what an annotator says when guessing, as in the paper."""


def mace(votes: Votes, *, restarts: int = 2, most: int = 200, seed: int = 0) -> Consensus:
    """Hovy, Berg-Kirkpatrick, Vaswani and Hovy, Learning Whom to Trust with MACE (NAACL 2013), by variational Bayes.

    The first start takes the majority for right, the others are drawn; the likeliest end counts.

    Args:
        restarts: starts beside the first.
        most: iterations of each.
    """
    generator = np.random.default_rng(seed)
    size = (len(votes.annotators), len(votes.labels))
    found = [_course(votes, *_counts(votes, majority(votes).posterior_PC.clip(0), np.full(size[0], 0.5), None), most)]
    for _ in range(restarts):
        knows_A, habit_AC = generator.uniform(0.4, 0.6, size[0]), generator.dirichlet(np.ones(size[1]), size[0])
        posterior_PC, _ = _expected(votes, knows_A, 1 - knows_A, habit_AC)
        found.append(_course(votes, *_counts(votes, posterior_PC, knows_A, habit_AC), most))
    return max(found, key=lambda consensus: consensus.log_likelihood)


def _course(votes: Votes, knew_A: Floats, guessed_AC: Floats, most: int) -> Consensus:
    """Updates until the likelihood stands still."""
    from scipy.special import digamma

    before, converged, iterations = -np.inf, False, 0
    for iterations in range(1, most + 1):  # noqa: B007 - how far it came
        spread_A = digamma(votes.votes_A + 2 * _KNOWS)
        knows_A = np.exp(digamma(knew_A + _KNOWS) - spread_A)
        guesses_A = np.exp(digamma(guessed_AC.sum(1) + _KNOWS) - spread_A)
        prior_AC = guessed_AC + _HABIT
        habit_AC = np.exp(digamma(prior_AC) - digamma(prior_AC.sum(1, keepdims=True)))
        posterior_PC, evidence_P = _expected(votes, knows_A, guesses_A, habit_AC)
        knew_A, guessed_AC = _counts(votes, posterior_PC, knows_A, habit_AC, guesses_A)
        likelihood = float(votes.count_P @ evidence_P) / max(votes.num_items, 1)
        converged = abs(likelihood - before) < TOLERANCE
        before = likelihood
        if converged:
            break
    share_A = (knew_A + _KNOWS) / (votes.votes_A + 2 * _KNOWS)
    return Consensus(posterior_PC, None, share_A, iterations, converged, before * votes.num_items)


def _expected(votes: Votes, knows_A: Floats, guesses_A: Floats, habit_AC: Floats) -> tuple[Floats, Floats]:
    """The posterior of each pattern and the logarithm of its evidence, all labels equally likely beforehand."""
    by_habit_V = (guesses_A[:, None] * habit_AC)[votes.annotator_V, votes.label_V]
    joint_PC = np.zeros((votes.num_patterns, len(votes.labels)))
    np.add.at(joint_PC, (votes.of_V, votes.label_V), np.log1p(knows_A[votes.annotator_V] / by_habit_V))
    joint_PC += tally(votes.of_V, np.log(by_habit_V), votes.num_patterns)[:, None]
    return normalised(joint_PC - np.log(len(votes.labels)))


def _counts(
    votes: Votes,
    posterior_PC: Floats,
    knows_A: Floats,
    habit_AC: Floats | None,
    guesses_A: Floats | None = None,
) -> tuple[Floats, Floats]:
    """How often each annotator knew, and what was said guessing."""
    size = len(votes.labels)
    habit_AC = np.full((len(votes.annotators), size), 1 / size) if habit_AC is None else habit_AC
    guesses_A = 1 - knows_A if guesses_A is None else guesses_A
    knows_V = knows_A[votes.annotator_V]
    by_habit_V = (guesses_A[:, None] * habit_AC)[votes.annotator_V, votes.label_V]
    weight_V = votes.count_P[votes.of_V]
    knew_V = posterior_PC[votes.of_V, votes.label_V] * knows_V / (knows_V + by_habit_V)
    cells_V = votes.annotator_V * size + votes.label_V
    guessed = tally(cells_V, (1 - knew_V) * weight_V, len(votes.annotators) * size)
    return (
        tally(votes.annotator_V, knew_V * weight_V, len(votes.annotators)),
        guessed.reshape(len(votes.annotators), size),
    )
