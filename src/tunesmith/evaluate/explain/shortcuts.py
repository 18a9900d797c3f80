"""Words that answers hang on, found by leaving them out and by putting them in.

Only answers that were right are looked at. A word is named where more than a stated share of the answers to rows that
hold it surely change without it, or where more than another share of the answers of other labels surely become its own
once it is put in front; and where that is surely more than with the other words that were tried on the same rows. All
tests are exact, of the two that a finding needs the larger p-value counts, and everything that was tried is corrected
for together (Holm 1979): the chance that any word is named which answers hang on less stays below the level, however
words go together.

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
from tunesmith.evaluate.explain.found import Counted, Shortcut, Tried, Without
from tunesmith.evaluate.explain.words import names_in, with_first, without
from tunesmith.evaluate.statistics.significance import holm
from tunesmith.metrics._intervals import wilson
from tunesmith.metrics._labels import right_label
from tunesmith.metrics._measured import WORDS
from tunesmith.records import Prediction, Record

FEWEST = 10
"""Right answers that a word needs, to be left out."""
MOST = 100
"""Rows that are asked without the same word."""
MOST_TURNED = 50
"""Rows that the same word is put in front of."""
STRENGTH = 8.0
"""Inverse regularisation of the count of the other words; the middle one of the arm `linear`."""


@dataclass(frozen=True)
class Asked:
    """A row that is asked again."""

    row: int
    word: str
    put_in: bool
    """Whether the word is put in front, and not left out."""


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


def questions(right: Sequence[Prediction], words: Mapping[str, Sequence[int]]) -> tuple[list[Asked], list[Record]]:
    """The rows that are asked again: without every word, and with it. Where nothing would be left none is asked.

    Args:
        right: N right answers.
        words: word -> the rows that are asked without it.
    """
    asked, records = [], []
    held = [names_in(row.record) for row in right]
    for word, label in _labels(right, words).items():
        for place in words[word]:
            record = without(right[place].record, word)
            if said(record).strip():
                asked.append(Asked(place, word, put_in=False))
                records.append(record)
        others = [place for place, row in enumerate(right) if row.output != label and word not in held[place]]
        for place in _spread(others, MOST_TURNED):
            asked.append(Asked(place, word, put_in=True))
            records.append(with_first(right[place].record, word))
    return asked, records


def tried(
    right: Sequence[Prediction],
    words: Mapping[str, Sequence[int]],
    asked: Sequence[Asked],
    answers: Sequence[str],
    *,
    hangs: float,
    turns: float,
    confidence: float,
) -> list[Tried]:
    """What words do to answers, corrected for all of them; the word that answers most surely hang on first.

    Args:
        right: N right answers.
        words: word -> the rows that were asked without it.
        asked: which of them were asked again, and how.
        answers: what was said then.
        hangs: the share that has to be exceeded by a word that is left out.
        turns: the same by a word that is put in.
        confidence: of the intervals.
    """
    labels = _labels(right, words)
    left_out: dict[str, dict[int, bool]] = {word: {} for word in words}
    put_in: dict[str, dict[int, bool]] = {word: {} for word in words}
    for each, answer in zip(asked, answers, strict=True):
        if each.put_in:
            put_in[each.word][each.row] = answer == labels[each.word]
        else:
            left_out[each.word][each.row] = answer != right[each.row].output
    found = [*_without(left_out, hangs, confidence), *_without(put_in, turns, confidence)]
    sure = holm([each.p_value for each in found])
    found = [replace(each, p_value=p_value) for each, p_value in zip(found, sure, strict=True)]
    pairs = zip(words, found[: len(words)], found[len(words) :], strict=True)
    made = [Tried(word, labels[word], out, in_) for word, out, in_ in pairs]
    return sorted(
        made,
        key=lambda each: (
            min(each.left_out.p_value, each.put_in.p_value),
            -(each.left_out.share.value or 0.0),
            each.word,
        ),
    )


def named(found: Sequence[Tried], confidence: float) -> list[Tried]:
    """Those that answers surely hang on."""
    return [each for each in found if min(each.left_out.p_value, each.put_in.p_value) <= 1 - confidence]


def _labels(right: Sequence[Prediction], words: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Word -> the label that is given most to the rows that hold it."""
    return {word: Counter(right[row].output for row in rows).most_common(1)[0][0] for word, rows in words.items()}


def _without(flips: Mapping[str, Mapping[int, bool]], border: float, confidence: float) -> list[Without]:
    """What became of the answers, word by word; p-values are those of each word alone."""
    of_row: dict[int, list[bool]] = defaultdict(list)
    for of_word in flips.values():
        for row, flipped in of_word.items():
            of_row[row].append(flipped)
    found = []
    for of_word in flips.values():
        hits, rows = sum(of_word.values()), len(of_word)
        others = sum(sum(of_row[row]) for row in of_word) - hits, sum(len(of_row[row]) for row in of_word) - rows
        p_value = 1.0
        if rows >= FEWEST:
            p_value = max(_at_least(hits, rows, border), _beyond_others(of_word, of_row))
        found.append(Without(Counted(hits, rows), _share(hits, rows, confidence), _share(*others, confidence), p_value))
    return found


def _share(hits: int, rows: int, confidence: float) -> Estimate:
    return Estimate(hits / rows if rows else None, closed(wilson(hits, rows, confidence)), rows)


def looked_into(
    each: Tried,
    right: Sequence[Prediction],
    tuned: Sequence[Prediction],
    train: Sequence[Record],
    *,
    confidence: float,
    seed: int,
) -> Shortcut:
    """What else is known of a word that answers hang on.

    Args:
        each: the word.
        right: N right answers.
        tuned: all answers.
        train: with labels; what a count of the other words learns from.
        confidence: that the rest tells the label.
        seed: of the count.
    """
    holding = [row for row in right if each.word in names_in(row.record)]
    told, chance = _told(each.word, holding, tuned, train, seed)
    limits = wilson(told.hits, told.rows, confidence)
    other = [row for row in tuned if each.word in names_in(row.record) and row.expected != each.label]
    return Shortcut(
        each,
        told,
        chance,
        limits is not None and limits[0] > chance,
        Counted(sum(row.output == each.label for row in other), len(other)),
    )


def _told(
    word: str, holding: Sequence[Prediction], tuned: Sequence[Prediction], train: Sequence[Record], seed: int
) -> tuple[Counted, float]:
    """How many rows a count of their other words gets right, and the share it would were its labels dealt out anew."""
    learned = [(said(without(record, word)), right_label(record)) for record in train if right_label(record)]
    if len({label for _, label in learned}) < 2 or not holding:
        return Counted(0, len(holding)), 1.0
    counts = WordCounts([text for text, _ in learned], [(label,) for _, label in learned])
    fitted = counts.fit(STRENGTH, seed)
    guessed = fitted.given([said(without(row.record, word)) for row in holding])
    everywhere = Counter(fitted.given([said(without(row.record, word)) for row in tuned]))
    wanted = Counter(row.expected for row in holding)
    hits = sum(label == row.expected for label, row in zip(guessed, holding, strict=True))
    chance = sum(everywhere[label] / len(tuned) * count / len(holding) for label, count in wanted.items())
    return Counted(hits, len(holding)), chance


def measured(
    right: Sequence[Prediction], words: Mapping[str, Sequence[int]], asked: Sequence[Asked], answers: Sequence[str]
) -> list[Prediction]:
    """The rows that the metric `shortcut` counts, each with what became of its answer with each word."""
    labels = _labels(right, words)
    flips: dict[int, dict[str, float]] = defaultdict(dict)
    for each, answer in zip(asked, answers, strict=True):
        if each.put_in:
            flips[each.row][WORDS["put_in"] + each.word] = float(answer == labels[each.word])
        else:
            flips[each.row][WORDS["left_out"] + each.word] = float(answer != right[each.row].output)
    return [replace(right[row], measured=values) for row, values in sorted(flips.items())]


def _spread(places: Sequence[int], most: int = MOST) -> list[int]:
    """At most so many of them, evenly spaced; rows stand in an order that says nothing."""
    if len(places) <= most:
        return list(places)
    return [places[at] for at in np.linspace(0, len(places) - 1, most).astype(int).tolist()]


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
    from scipy.special import bdtrc

    return 1.0 if hits == 0 else float(bdtrc(hits - 1, rows, share))


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
