"""Changes rows so that the right answer stays right, by the same methods as data steps that make new rows.

What becomes of a row hangs on the seed, the change and the row's id, and on no other row. Labelled stretches and words
that the answer takes up stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tunesmith.data.methods.augmenting.target import Target, target, varied, why_not
from tunesmith.data.rewrite import Edit, edited
from tunesmith.data.room import Room
from tunesmith.data.steps.paraphrase import Paraphrase
from tunesmith.data.steps.synonyms import Synonyms
from tunesmith.data.steps.typos import Typos
from tunesmith.evaluate.robustness.sentences import DISTRACTORS, ORDERS, PASSWORD
from tunesmith.records import Record, Responder
from tunesmith.spec.quantity import Share
from tunesmith.spec.rooms.robustness import TYPOS, Change

OTHER_WORDS = Share(0.25, "")
"""Share of a row's words that WordNet's synonyms take the place of."""
_MARKS = r"[.,;:!?…¿¡\"“”„«»()]+"
_LOOSE = re.compile(rf"(?<!\S){_MARKS}|{_MARKS}(?!\S)")
"""Marks with a blank on one side: those within `3.50` or an address carry meaning."""
_LAST = re.compile(r"[.!?…\s]*\Z")

Random = np.random.Generator


@dataclass(frozen=True)
class Changed:
    """A row after a change; its id is that of the row."""

    record: Record
    planted: str = ""
    """What an order in it asks to say."""


def usable(record: Record) -> bool:
    """Whether anything is asked in a row that could be changed."""
    return not why_not(record)


def changed(
    records: Sequence[Record],
    change: Change,
    *,
    seed: int,
    share: Share = TYPOS,
    labels: Sequence[str] = (),
    responder: Responder | None = None,
) -> list[Changed | None]:
    """What becomes of each row; None where the change leaves it as it is.

    Args:
        records: as the data hold them.
        change: any but `out_of_scope`, which is no change of a row.
        seed: draws everything.
        share: of the words that get a typo.
        labels: all there are, for orders to give a wrong one.
        responder: who is asked for other words; WordNet when left out.
    """
    if change == "paraphrase" and responder is not None:
        return _reworded(records, responder, Room(seed=seed))
    edit = _edits(change, share)
    found: list[Changed | None] = []
    for record in records:
        said, random = target(record), Room(seed=seed).random("robustness", change, record.id)
        planted = _planted(record, labels, random) if change == "injection" else ""
        text, spans = edited(said.text, said.spans, edit(said, random, planted))
        found.append(Changed(varied(record, text, spans), planted) if text != said.text else None)
    return found


def asked_instead(records: Sequence[Record], questions: Sequence[str]) -> list[Record]:
    """Questions put as the rows are, one after the other; without labels, for nothing is right.

    Args:
        records: in whose place they stand, in turn.
        questions: each is asked once.
    """
    return [
        replace(varied(replace(mold, slices={}, references=()), question, ()), id=f"question:{number}")
        for number, (question, mold) in enumerate(
            zip(questions, (records[at % len(records)] for at in range(len(questions))), strict=True), 1
        )
    ]


def _edits(change: Change, share: Share) -> Callable[[Target, Random, str], list[Edit]]:
    typos, synonyms = Typos(change=share), Synonyms(change=OTHER_WORDS)
    found: dict[str, Callable[[Target, Random, str], list[Edit]]] = {
        "typos": lambda said, random, _: typos.edits(said, random),
        "paraphrase": lambda said, random, _: synonyms.edits(said, random),
        "case": lambda said, random, _: _case(said, random),
        "punctuation": lambda said, random, _: _punctuation(said, random),
        "distractors": lambda said, random, _: _beside(said.text, _one_of(DISTRACTORS, random), " ", random),
        "injection": lambda said, random, planted: _beside(
            said.text, _one_of(ORDERS, random).format(planted=planted), "\n\n", random
        ),
    }
    return found[change]


def _reworded(records: Sequence[Record], responder: Responder, room: Room) -> list[Changed | None]:
    """Other words of a model; what it cannot be trusted with is left out, as the step `paraphrase` leaves it out."""
    asking = Paraphrase(model="-", temperature=0.0)
    free = [record for record in records if record.spans is None]
    said = iter(asking.ask(free, responder, room, 0) if free else [])
    new = [next(said) if record.spans is None else "" for record in records]
    return [
        Changed(found) if isinstance(found, Record) and found != record else None
        for record, found in zip(records, new, strict=True)
    ]


def _case(said: Target, random: Random) -> list[Edit]:
    """All small, all capitals, or a capital at the beginning of every word; the first of them that changes anything."""
    styles = (str.lower, str.upper, lambda word: word[:1].upper() + word[1:].lower())
    for place in random.permutation(len(styles)).tolist():
        edits = [Edit(word.start, word.end, styles[place](word.text)) for word in said.free()]
        if found := [edit for edit in edits if edit.new != said.text[edit.start : edit.end]]:
            return found
    return []


def _punctuation(said: Target, random: Random) -> list[Edit]:
    """All marks left out, or the last one made a loud one."""
    bare = [
        Edit(mark.start(), mark.end(), "")
        for mark in _LOOSE.finditer(said.text)
        if not any(span.start < mark.end() and mark.start() < span.end for span in said.spans)
    ]
    if bare and random.integers(2):
        return bare
    end = len(said.text)
    last = _LAST.search(said.text)
    start = max([last.start() if last else end, *(span.end for span in said.spans)])
    return [Edit(min(start, end), end, _one_of(("!!!", "...", " ???"), random))]


def _beside(text: str, sentence: str, gap: str, random: Random) -> list[Edit]:
    """A sentence in front of the text or behind it."""
    return [Edit(0, 0, sentence + gap) if random.integers(2) else Edit(len(text), len(text), gap + sentence)]


def _planted(record: Record, labels: Sequence[str], random: Random) -> str:
    wrong = [label for label in labels if label not in record.labels]
    return _one_of(wrong, random) if record.labels and wrong else PASSWORD


def _one_of(texts: Sequence[str], random: Random) -> str:
    return texts[int(random.integers(len(texts)))]
