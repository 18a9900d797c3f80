"""A label model: weighs labelling functions, which vote for what they know and abstain from the rest (Snorkel's idea).

P patterns, A functions, C labels (T where it is the right one, S where it is what was said, the last of them nothing).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from tunesmith.data.methods.votes.consensus import Consensus, Marks, expectation_maximisation, shares
from tunesmith.data.methods.votes.table import Floats, Votes

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
        balance: label -> how common it is among all rows, those without a vote too; learned when left out, of the rows
            with votes, which takes functions that overlap.

    Raises:
        KeyError: `balance` lacks a label that was voted for.
    """
    size = len(votes.labels)
    marks = _with_abstentions(votes, silent=balance is not None)
    start_PC = np.vstack([votes.counts_PC, np.zeros((len(marks.count_P) - votes.num_patterns, size))])
    start_PC += _AT_FIRST / max(size, 1)
    start_PC /= start_PC.sum(1, keepdims=True)

    def maximise(posterior_PC: Floats, marks: Marks) -> Floats:
        counted_ATS = marks.counted(posterior_PC)
        of_all_AS = shares(counted_ATS.sum(1))
        found_ATS = shares(counted_ATS + _SMOOTHING * of_all_AS[:, None, :])
        own_AC = found_ATS[:, np.arange(size), np.arange(size)]
        against_AC = own_AC < found_ATS[:, :, :size].max(1)
        return np.where(np.pad(against_AC, ((0, 0), (0, 1)))[:, None, :], of_all_AS[:, None, :], found_ATS)

    prior = None
    if balance is not None:
        wanted_C = np.array([balance[label] for label in votes.labels])
        prior = partial(_always, wanted_C / wanted_C.sum())
    found = expectation_maximisation(votes, marks, maximise, most=most, start_PC=start_PC, prior=prior)
    return replace(found, posterior_PC=found.posterior_PC[: votes.num_patterns])


def _always(wanted_C: Floats, posterior_PC: Floats) -> Floats:
    return wanted_C


def _with_abstentions(votes: Votes, silent: bool) -> Marks:
    """A mark for every function and pattern; saying nothing is the last thing to be said.

    Args:
        silent: whether the items that no function voted on are a pattern too, the last one.
    """
    functions, size = len(votes.annotators), len(votes.labels)
    patterns = votes.num_patterns + silent
    said_PA = np.full((patterns, functions), size, np.int64)
    said_PA[votes.of_V, votes.annotator_V] = votes.label_V
    columns_PA = np.arange(functions) * (size + 1) + said_PA
    count_P = np.append(votes.count_P, [float((votes.pattern_N < 0).sum())] * silent)
    return Marks(np.repeat(np.arange(patterns), functions), columns_PA.ravel(), functions, size + 1, count_P)
