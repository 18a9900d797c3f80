"""Words that answers hang on, found by leaving them out.

Only answers that were right are looked at. A word is named where two things are sure at once: more than a stated share
of right answers change without it, and more than change without the other words of the same rows. Both tests are
exact, the larger p-value of the two counts, and all words are corrected for together (Holm 1979): the chance that
any word is named which answers do not hang on so much stays below the level, however the words go together.

W words, N rows.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.methods.augmenting.target import said
from tunesmith.evaluate.arms.linear import WordCounts
from tunesmith.evaluate.comparison import Estimate, closed
from tunesmith.evaluate.explain.found import Counted, LeftOut, Shortcut, Shortcuts
from tunesmith.evaluate.explain.words import names_in, without
from tunesmith.evaluate.statistics.significance import holm
from tunesmith.metrics._intervals import wilson
from tunesmith.metrics._labels import right_label
from tunesmith.metrics._measured import WITHOUT
from tunesmith.records import Prediction, Record

FEWEST = 10
"""Right answers that a word needs, to be left out."""
MOST = 50
"""Rows that are asked without the same word."""
STRENGTH = 8.0
"""Inverse regularisation of the count of the other words; the middle one of the arm `linear`."""


@dataclass(frozen=True)
class Asked:
    """A row that is asked without a word."""

    row: int
    word: str


def candidates(
    rows: Sequence[Record], train: Sequence[Record], most: int, named: Iterable[str] = ()
) -> dict[str, list[int]]:
    """Word -> the rows that are asked without it: words that enough rows hold, those that go most with one label in
    the training rows first.

    Args:
        rows: test rows that are answered right.
        train: with labels.
        most: words at the most, beside those that are named.
        named: words that are left out in any case.
    """
    holding: dict[str, list[int]] = defaultdict(list)
    for place, record in enumerate(rows):
        for word in sorted(names_in(record)):
            holding[word].append(place)
    common = {word: places for word, places in holding.items() if len(places) >= FEWEST}
    uneven = _unevenness(common, train)
    ranked = sorted(common, key=lambda word: (-uneven[word], word))[:most]
    wanted = [word.casefold() for word in named]
    return {word: _spread(holding[word]) for word in dict.fromkeys([*ranked, *wanted]) if word in holding}


def questions(rows: Sequence[Record], words: Mapping[str, Sequence[int]]) -> tuple[list[Asked], list[Record]]:
    """Every row without every word that it is asked without; rows of which nothing would be left are not asked."""
    asked, records = [], []
    for word, places in words.items():
        for place in places:
            record = without(rows[place], word)
            if said(record).strip():
                asked.append(Asked(place, word))
                records.append(record)
    return asked, records


def left_out(
    right: Sequence[Prediction], asked: Sequence[Asked], answers: Sequence[str], *, hangs: float, confidence: float
) -> list[LeftOut]:
    """What leaving words out does, corrected for all of them; the word that most answers hang on first.

    Args:
        right: N right answers.
        asked: which of them were asked again, and without which word.
        answers: what was said then.
        hangs: the share that a word has to exceed to be named.
        confidence: of the intervals.
    """
    changed: dict[str, dict[int, bool]] = defaultdict(dict)
    of_row: dict[int, list[bool]] = defaultdict(list)
    for each, answer in zip(asked, answers, strict=True):
        flipped = answer != right[each.row].output
        changed[each.word][each.row] = flipped
        of_row[each.row].append(flipped)
    found, p_values = [], []
    for word, flips in changed.items():
        hits, rows = sum(flips.values()), len(flips)
        others = [(sum(of_row[row]) - flip, len(of_row[row]) - 1) for row, flip in flips.items()]
        p_values.append(max(_at_least(hits, rows, hangs), _beyond_others(flips, of_row)))
        share = Estimate(hits / rows, closed(wilson(hits, rows, confidence)), rows)
        among = sum(count for _, count in others)
        beside = sum(flip for flip, _ in others)
        found.append(
            LeftOut(
                word,
                Counter(right[row].output for row in flips).most_common(1)[0][0],
                Counted(hits, rows),
                share,
                Estimate(beside / among if among else None, closed(wilson(beside, among, confidence)), among),
                1.0,
            )
        )
    found = [replace(each, p_value=p_value) for each, p_value in zip(found, holm(p_values), strict=True)]
    return sorted(found, key=lambda each: (each.p_value, -(each.share.value or 0.0), each.word))


def named(found: Sequence[LeftOut], confidence: float) -> list[LeftOut]:
    """Those that answers surely hang on."""
    return [each for each in found if each.p_value <= 1 - confidence and each.changed.rows >= FEWEST]


def turning(right: Sequence[Prediction], each: LeftOut) -> list[int]:
    """Right answers of other labels whose rows do not hold a word: it is put in front of them."""
    places = [
        place for place, row in enumerate(right) if row.output != each.label and each.word not in names_in(row.record)
    ]
    return _spread(places)


def looked_into(
    each: LeftOut,
    right: Sequence[Prediction],
    tuned: Sequence[Prediction],
    turned: Sequence[str],
    train: Sequence[Record],
    *,
    confidence: float,
    seed: int,
) -> Shortcut:
    """What else is known of a word that answers hang on.

    Args:
        right: N right answers.
        tuned: all answers.
        turned: what was answered when the word was put in front of rows of other labels.
        train: with labels; what a count of the other words learns from.
        confidence: that the rest tells the label.
        seed: of the count.
    """
    holding = [row for row in right if each.word in names_in(row.record)]
    learned = [(said(without(record, each.word)), right_label(record)) for record in train if right_label(record)]
    told, chance = Counted(0, len(holding)), 1.0
    if len({label for _, label in learned}) > 1 and holding:
        words = WordCounts([text for text, _ in learned], [(label,) for _, label in learned])
        fitted = words.fit(STRENGTH, seed)
        guessed = fitted.given([said(without(row.record, each.word)) for row in holding])
        everywhere = Counter(fitted.given([said(without(row.record, each.word)) for row in tuned]))
        wanted = Counter(row.expected for row in holding)
        told = Counted(sum(a == row.expected for a, row in zip(guessed, holding, strict=True)), len(holding))
        chance = sum(everywhere[label] / len(tuned) * count / len(holding) for label, count in wanted.items())
    limits = wilson(told.hits, told.rows, confidence)
    other = [row for row in tuned if each.word in names_in(row.record) and row.expected != each.label]
    return Shortcut(
        each,
        told,
        chance,
        limits is not None and limits[0] > chance,
        Counted(sum(row.output == each.label for row in other), len(other)),
        Counted(sum(answer == each.label for answer in turned), len(turned)),
    )


def result(found: Sequence[LeftOut], named: Sequence[Shortcut], *, hangs: float, rows: int, asked: int) -> Shortcuts:
    """All of it."""
    return Shortcuts(hangs, rows, list(found), list(named), asked)


def measured(right: Sequence[Prediction], asked: Sequence[Asked], answers: Sequence[str]) -> list[Prediction]:
    """The rows that the metric `shortcut` counts, each with what became of its answer without each word."""
    flips: dict[int, dict[str, float]] = defaultdict(dict)
    for each, answer in zip(asked, answers, strict=True):
        flips[each.row][WITHOUT + each.word] = float(answer != right[each.row].output)
    return [replace(right[row], measured=values) for row, values in sorted(flips.items())]


def _spread(places: Sequence[int]) -> list[int]:
    """At most `MOST` of them, evenly spaced; rows stand in an order that says nothing."""
    if len(places) <= MOST:
        return list(places)
    return [places[at] for at in np.linspace(0, len(places) - 1, MOST).astype(int).tolist()]


def _unevenness(words: Iterable[str], train: Sequence[Record]) -> dict[str, float]:
    """How unevenly each word is shared out over the labels of the training rows: the likelihood ratio of its rows
    against all rows, in nats."""
    labels: Counter[str] = Counter()
    of_word: dict[str, Counter[str]] = {word: Counter() for word in words}
    for record in train:
        label = right_label(record)
        labels[label] += 1
        for word in names_in(record) & of_word.keys():
            of_word[word][label] += 1
    total = labels.total()
    return {
        word: sum(count * math.log(count * total / (counts.total() * labels[label])) for label, count in counts.items())
        for word, counts in of_word.items()
    }


def _at_least(hits: int, rows: int, share: float) -> float:
    """The chance of so many hits or more."""
    from scipy.stats import binom

    return float(binom.sf(hits - 1, rows, share))


def _beyond_others(flips: Mapping[int, bool], of_row: Mapping[int, Sequence[bool]]) -> float:
    """The chance that so many of the changes fall on this word, were each as likely to fall on any word of its row.

    Given how many words of a row change the answer, which ones they are is drawn by chance: a test within rows, as
    Mantel and Haenszel's (1959), and exact.
    """
    chances: NDArray[np.float64] = np.ones(1)
    for row in flips:
        share = sum(of_row[row]) / len(of_row[row])
        chances = np.convolve(chances, [1 - share, share])
    return float(min(1.0, chances[sum(flips.values()) :].sum()))
