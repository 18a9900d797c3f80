"""What annotators and labelling functions are worth: a row for each.

P patterns, V votes, A annotators, C labels, N items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.votes.consensus import Consensus
from tunesmith.data.methods.votes.table import Floats, Ints, Votes, tally


@dataclass(frozen=True)
class Annotator:
    """How one annotator votes, beside the consensus and the others."""

    name: str
    votes: int
    accuracy: float
    """How often the vote is the consensus, every item counted by how likely each label is."""
    with_others: float | None
    """How often the vote is what most of the others say; None where nobody else ever says anything clear."""
    spam: float
    """0: what is said follows from the item; 1: it has nothing to do with it (one less Raykar and Yu's score, JMLR 13,
    2012; for MACE, how often the annotator guesses)."""
    confusion: dict[str, dict[str, float]]
    """Label by the consensus -> label said -> how often."""


def annotators(votes: Votes, consensus: Consensus) -> list[Annotator]:
    """A row for each annotator, the most accurate first."""
    counts_ATS = confusion_counts(votes, consensus.posterior_PC)
    right_A = np.trace(counts_ATS, axis1=1, axis2=2)
    with_A = _with_others(votes)
    rate_ATS = counts_ATS / counts_ATS.sum(2, keepdims=True).clip(1e-12)
    seen_AT = counts_ATS.sum(2) > 1e-9
    found = [
        Annotator(
            name,
            int(votes.votes_A[a]),
            float(right_A[a] / max(votes.votes_A[a], 1)),
            None if np.isnan(with_A[a]) else float(with_A[a]),
            float(1 - consensus.knows_A[a]) if consensus.knows_A is not None else _spam(rate_ATS[a][seen_AT[a]]),
            {
                true: {
                    said: float(rate_ATS[a, t, s]) for s, said in enumerate(votes.labels) if rate_ATS[a, t, s] > 5e-4
                }
                for t, true in enumerate(votes.labels)
                if seen_AT[a, t]
            },
        )
        for a, name in enumerate(votes.annotators)
    ]
    return sorted(found, key=lambda row: (-row.accuracy, row.name))


def confusion_counts(votes: Votes, posterior_PC: Floats) -> Floats:
    """[A, T, S]: how often each annotator said S of T, every item shared out by its posterior."""
    size, many = len(votes.labels), len(votes.annotators)
    weight_VC = posterior_PC[votes.of_V].clip(0) * votes.count_P[votes.of_V, None]
    cells_V = votes.annotator_V * size + votes.label_V
    columns = [tally(cells_V, weight_VC[:, t], many * size) for t in range(size)]
    return np.asarray(np.stack(columns, 1).reshape(many, size, size).transpose(0, 2, 1))


def _spam(rate_TS: Floats) -> float:
    """1 less the mean squared distance between what is said of two different labels, in parts of the most it can be."""
    size = len(rate_TS)
    if size < 2:
        return 1.0
    apart = size * (rate_TS**2).sum() - (rate_TS.sum(0) ** 2).sum()
    return float(1 - apart / (size * (size - 1)))


def _with_others(votes: Votes) -> Floats:
    """How often each vote is what most others say, of the items on which most others say one thing."""
    others_VC = votes.counts_PC[votes.of_V]
    others_VC[np.arange(len(others_VC)), votes.label_V] -= 1
    most_V = others_VC.max(1) if others_VC.size else np.zeros(0)
    clear_V = (most_V > 0) & ((others_VC == most_V[:, None]).sum(1) == 1)
    equal_V = clear_V & (others_VC[np.arange(len(others_VC)), votes.label_V] == most_V)
    weight_V, many = votes.count_P[votes.of_V], len(votes.annotators)
    asked_A = tally(votes.annotator_V, weight_V * clear_V, many)
    equal_A = tally(votes.annotator_V, weight_V * equal_V, many)
    return np.asarray(np.divide(equal_A, asked_A, out=np.full(many, np.nan), where=asked_A > 0))


@dataclass(frozen=True)
class FunctionRow:
    """How one labelling function votes."""

    name: str
    labels: tuple[str, ...]
    """What it says."""
    votes: int
    coverage: float
    """Share of all rows it votes on."""
    overlap: float
    """Share of all rows it votes on and another one does too."""
    conflict: float
    """Share of all rows it votes on and another one says something else."""
    accuracy: float | None
    """Of its votes on rows whose label is known, how many are right; None where there are none."""
    judged: int
    """So many votes that rests on."""


def functions(votes: Votes, gold_N: Ints | None = None) -> list[FunctionRow]:
    """A row for each labelling function, in order of their names.

    Args:
        gold_N: the number of each item's known label in `votes.labels`, -1 where it is another one, -2 where there is
            none.
    """
    weight_V = votes.count_P[votes.of_V]
    sizes_P = votes.counts_PC.sum(1)
    several_V = sizes_P[votes.of_V] > 1
    differ_V = votes.counts_PC[votes.of_V, votes.label_V] < sizes_P[votes.of_V]
    right_A, judged_A = _judged(votes, gold_N)
    rows, many = max(len(votes.pattern_N), 1), len(votes.annotators)
    overlap_A = tally(votes.annotator_V, weight_V * several_V, many) / rows
    conflict_A = tally(votes.annotator_V, weight_V * differ_V, many) / rows
    return [
        FunctionRow(
            name,
            tuple(votes.labels[label] for label in np.unique(votes.label_V[votes.annotator_V == a])),
            int(votes.votes_A[a]),
            float(votes.votes_A[a] / rows),
            float(overlap_A[a]),
            float(conflict_A[a]),
            float(right_A[a] / judged_A[a]) if judged_A[a] else None,
            int(judged_A[a]),
        )
        for a, name in enumerate(votes.annotators)
    ]


def _judged(votes: Votes, gold_N: Ints | None) -> tuple[Floats, Floats]:
    """Of each annotator how many votes are right, and on how many items with a known label they were cast."""
    many, size = len(votes.annotators), len(votes.labels)
    if gold_N is None:
        return np.zeros(many), np.zeros(many)
    known_N = (gold_N > -2) & (votes.pattern_N >= 0)
    # The last column holds labels that nobody voted for.
    cells_N = votes.pattern_N[known_N].astype(np.int64) * (size + 1) + np.where(gold_N < 0, size, gold_N)[known_N]
    gold_PC = tally(cells_N, None, votes.num_patterns * (size + 1)).reshape(-1, size + 1)
    right_V, judged_V = gold_PC[votes.of_V, votes.label_V], gold_PC.sum(1)[votes.of_V]
    return (
        tally(votes.annotator_V, right_V, many),
        tally(votes.annotator_V, judged_V, many),
    )


def accuracy(votes: Votes, label_P: npt.NDArray[np.int64], gold_N: Ints) -> tuple[float, int]:
    """How often the label of an item's pattern is its known one, and on how many items that rests."""
    known_N = (gold_N > -2) & (votes.pattern_N >= 0)
    right_N = label_P[votes.pattern_N[known_N]] == gold_N[known_N]
    return (float(right_N.mean()) if known_N.any() else float("nan")), int(known_N.sum())
