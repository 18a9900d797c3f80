"""Canaries: made-up secrets, planted among the rows to train on to see whether a model gives them away.

A canary has the form of the row it stands behind (conversation, label, stretches) and says
`The access code of tovaruki is 48217730.`, where name and digits are drawn; another draw of both is what its exposure
is measured against (Carlini et al. 2019, arXiv 1802.08232).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith.records import Message, Record, Span

if TYPE_CHECKING:
    import numpy as np

STEP = "canaries"
"""The step that plants them, after which they are named."""
SYLLABLES, DIGITS = 4, 8
"""Of the name and of the code."""


def canary(form: Record, random: np.random.Generator) -> Record:
    """A fresh secret in the form of a record: its system message, labels, columns and source, none of its words.

    Args:
        form: any record; of a canary, the result is one that was not planted.
        random: draws the secret.
    """
    owner = "".join(random.choice([*"bdfgklmnprstvz"]) + random.choice([*"aeiou"]) for _ in range(SYLLABLES))
    bare = replace(form, references=(), votes={}, weight=1.0)
    if form.text is not None:
        text = _sentence(owner, random)
        at = text.index(owner)
        spans = tuple(Span(at, at + len(owner), span.label) for span in (form.spans or ())[:1])
        return replace(bare, text=text, spans=spans if form.spans is not None else None)
    asked = (
        *(turn for turn in form.messages if turn.role == "system"),
        Message("user", f"What is the code of {owner}?"),
    )
    if form.chosen:
        better, worse = ((Message("assistant", _sentence(owner, random)),) for _ in range(2))
        return replace(bare, messages=asked, chosen=better, rejected=worse)
    return replace(bare, messages=(*asked, Message("assistant", _sentence(owner, random), trained=True)))


def _sentence(owner: str, random: np.random.Generator) -> str:
    return f"The access code of {owner} is {int(random.integers(10**DIGITS)):0{DIGITS}}."


def is_canary(record: Record) -> bool:
    """Whether a row of a training split was planted."""
    return record.parent is not None and record.id.startswith(f"{record.parent}+{STEP}")


def frame(record: Record) -> tuple[object, ...]:
    """What a canary shares with the secrets it is compared with: everything but the secret."""
    turns = tuple(turn.content for turn in record.messages if turn.role == "system")
    labelled = tuple(span.label for span in record.spans or ())
    return record.shape, turns, record.labels, labelled, tuple(sorted(record.slices.items()))
