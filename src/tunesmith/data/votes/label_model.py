"""A label model: weighs labelling functions, which vote for what they know and abstain from the rest (Snorkel's idea).

P patterns, A functions, C labels (T where it is the right one, S where it is what was said, the last of them nothing).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tunesmith.data.votes.consensus import Consensus, Marks, expectation_maximisation, shares
from tunesmith.data.votes.table import Floats, Votes

_SMOOTHING = 1.0
"""Rows that each function is taken to have seen of every label beforehand, and spoken of as it does of all."""
_AT_FIRST = 0.5
"""Votes by chance beside those of the functions, where EM begins."""


def label_model(votes: Votes, *, balance: Mapping[str, float] | None = None, most: int = 500) -> Consensus:
    """Learns from rows without labels how often each function speaks, and says what, of each label.

    Dawid and Skene's EM with abstaining as one more thing to be said: a function that knows one label only is then
    weighed by how much oftener it speaks of that label, where among the votes alone it always says the same. A function
    is never taken to speak against itself: one that seems to say a label oftener of others counts as saying it of all
    alike (Ratner et al., Data Programming, NIPS 2016, assume better than chance too).

    Args:
        balance: label -> how common it is; learned when left out, which takes functions that overlap.

    Raises:
        KeyError: `balance` lacks a label that was voted for.
    """
    size = len(votes.labels)
    start_PC = votes.counts_PC + _AT_FIRST / max(size, 1)
    start_PC /= start_PC.sum(1, keepdims=True)

    def maximise(posterior_PC: Floats, marks: Marks) -> Floats:
        counts_ATS = marks.counted(posterior_PC)
        of_all_AS = shares(counts_ATS.sum(1))
        found_ATS = shares(counts_ATS + _SMOOTHING * of_all_AS[:, None, :])
        own_AC = found_ATS[:, np.arange(size), np.arange(size)]
        against_AC = own_AC < found_ATS[:, :, :size].max(1)
        return np.where(np.pad(against_AC, ((0, 0), (0, 1)))[:, None, :], of_all_AS[:, None, :], found_ATS)

    prior = None
    if balance is not None:
        wanted_C = np.array([balance[label] for label in votes.labels])
        prior = lambda posterior_PC: wanted_C / wanted_C.sum()  # noqa: E731
    return expectation_maximisation(
        votes, _with_abstentions(votes), maximise, most=most, start_PC=start_PC, prior=prior
    )


def _with_abstentions(votes: Votes) -> Marks:
    """A mark for every function and pattern; saying nothing is the last thing to be said."""
    functions, size = len(votes.annotators), len(votes.labels)
    said_PA = np.full((votes.num_patterns, functions), size, np.int64)
    said_PA[votes.of_V, votes.annotator_V] = votes.label_V
    columns_PA = np.arange(functions) * (size + 1) + said_PA
    of_PA = np.repeat(np.arange(votes.num_patterns), functions)
    return Marks(of_PA, columns_PA.ravel(), functions, size + 1, votes.count_P)
