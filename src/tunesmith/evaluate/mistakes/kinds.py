"""Kinds of rows that nobody had to name: by length, language, label, topic, and how near a row is to the training rows.

Rows are told apart by what they and their right answers say, never by how an arm answered them. So a slice is not
chosen for having fared badly, and its figures on the same rows are as honest as those of a column that a spec names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

import numpy as np

from tunesmith.data.methods.quality.language import NO_LANGUAGE, detect, letters
from tunesmith.evaluate.mistakes.nearest import nearest
from tunesmith.records import Record

Kind = Literal["length", "language", "label", "topic", "similarity"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Groups = dict[str, list[int]]
"""Name of a slice -> the numbers of its rows."""

QUARTERS = 4
MOST_ASKED = 5000
"""Rows whose language is detected, drawn by the seed where there are more: each takes about half a millisecond."""
PAIRS = 500_000_000
"""Pairs of a row and a training row that are compared at most; where there are more, every second training row is, or
every third, and so on."""
FEWEST_LETTERS = 20
"""Letters that say which language they are of."""
NEAR, FAR = 0.8, 0.4
"""Cosine to the nearest training row from which a row is nearly a copy, and below which it is far from all of them."""


@dataclass(frozen=True)
class Material:
    """What rows are told apart by."""

    records: Sequence[Record]
    texts: Sequence[str]
    """What each record asks."""
    trained: Sequence[Record]
    """What was trained on; may lie on disk."""
    seed: int


def kinds_of(
    records: Sequence[Record], trained: Sequence[Record], seed: int, wanted: Sequence[Kind]
) -> dict[str, Groups]:
    """Kind -> name of a slice -> the numbers of its rows, in the order of `wanted`.

    Args:
        records: the rows that were measured.
        trained: the rows that were trained on; without any there are no slices by similarity.
        seed: draws topics and the rows whose language is detected.
        wanted: the kinds.
    """
    material = Material(records, [question(record) for record in records], trained, seed)
    return {kind: _FINDERS[kind](material) for kind in wanted}


def question(record: Record) -> str:
    """What a record asks: its text, or the last of the user's turns."""
    if record.text is not None:
        return record.text
    return next((turn.content for turn in reversed(record.prompt) if turn.role == "user"), "")


def _by_length(material: Material) -> Groups:
    """Quarters of the rows by their words."""
    words = np.array([len(text.split()) for text in material.texts])
    inner = [place / QUARTERS for place in range(1, QUARTERS)]
    edges = np.unique(np.quantile(words, inner, method="inverted_cdf")) if len(words) else np.zeros(0)
    place = np.searchsorted(edges, words, side="left")
    return {
        _words(int(words[place == number].min()), int(words[place == number].max())): np.flatnonzero(
            place == number
        ).tolist()
        for number in np.unique(place)
    }


def _words(least: int, most: int) -> str:
    return f"{least:,} to {most:,} words" if least < most else f"{most:,} word{'' if most == 1 else 's'}"


def _by_language(material: Material) -> Groups:
    rows = np.arange(len(material.texts))
    if len(rows) > MOST_ASKED:
        rows = np.sort(np.random.default_rng(material.seed).choice(rows, MOST_ASKED, replace=False))
    found: Groups = {}
    for row in rows.tolist():
        text = material.texts[row]
        if letters(text) >= FEWEST_LETTERS:
            language, _ = detect(text, ())
            if language != NO_LANGUAGE:
                found.setdefault(language, []).append(row)
    return found


def _by_label(material: Material) -> Groups:
    """By right label, that of the whole row or of its spans; a row with several is in several slices."""
    found: Groups = {}
    for row, record in enumerate(material.records):
        for label in dict.fromkeys(record.labels or [span.label for span in record.spans or ()]):
            found.setdefault(label, []).append(row)
    return found


def _by_topic(material: Material) -> Groups:
    """Clusters of the texts, each named by the words that tell it from the rest."""
    from tunesmith.data.audit.topics import topics, vectors

    matrix = vectors(material.texts)
    made = None if matrix is None else topics(matrix, material.seed)
    if made is None:
        return {}
    described, of_rows = made
    found: Groups = {}
    for number, topic in enumerate(described):
        name = ", ".join(topic["words"][:4])
        if name:
            found.setdefault(name, []).extend(np.flatnonzero(of_rows == number).tolist())
    return found


def _by_similarity(material: Material) -> Groups:
    if not len(material.trained):
        return {}
    every = -(-len(material.trained) * len(material.texts) // PAIRS)
    trained = islice(material.trained, 0, None, every)
    cosine = nearest(material.texts, (question(record) for record in trained))
    names = {
        f"far from every training row (cosine below {FAR:g})": cosine < FAR,
        f"like a training row ({FAR:g} to {NEAR:g})": (cosine >= FAR) & (cosine < NEAR),
        f"nearly a training row ({NEAR:g} or more)": cosine >= NEAR,
    }
    return {name: np.flatnonzero(inside).tolist() for name, inside in names.items() if inside.any()}


_FINDERS: Mapping[str, Callable[[Material], Groups]] = {
    "length": _by_length,
    "language": _by_language,
    "label": _by_label,
    "topic": _by_topic,
    "similarity": _by_similarity,
}
