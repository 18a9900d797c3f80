"""Makes new rows of a label by showing a model some of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tunesmith.data.methods.augmenting.asking import EMPTY, LENGTH, MALFORMED, listed_texts, synthesis_prompt
from tunesmith.data.methods.augmenting.target import said, varied
from tunesmith.data.room import Room
from tunesmith.data.steps._augment import AskingAugment, Candidate, Picked, chunks
from tunesmith.records import Record

UNLABELLED = "it has no label"
_LENGTHS = 4
"""A new text has at most so many times the characters of the longest example."""

Peers = Mapping[tuple[str, ...], npt.NDArray[np.int64]]
"""Places of the rows of each label."""


class Synthesise(AskingAugment):
    """Shows a model a row and others of the same label, and asks for `copies` new ones (arXiv 2212.10560).

    Each new row has the label, and the row that was shown first as its parent. Answers that are no list, and texts
    that are empty or far longer than the examples, are left out and counted; so are texts much like any new row of
    their label.
    """

    reason: ClassVar[str] = "written by a model after examples of its label"
    crowd: ClassVar[bool] = True

    examples: int = Field(default=5, ge=1, le=50)
    """Rows of the label that are shown, the parent among them."""

    def suits(self, record: Record, folder: Path) -> str:
        return super().suits(record, folder) or ("" if record.labels and record.text is not None else UNLABELLED)

    def vary(self, records: Picked, room: Room) -> Iterator[list[Candidate]]:
        responder = room.models.responder(self.model)
        peers, done = _peers(records.whole), 0
        for chunk in chunks(records):
            shown = [self._shown(record, records.whole, peers, room) for record in chunk]
            answers = responder.respond(
                [
                    synthesis_prompt(texts, record.labels, self.copies)
                    for texts, record in zip(shown, chunk, strict=True)
                ],
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                seed=self.seed(room, 0),
            )
            done += len(chunk)
            room.after(done, len(records))
            for record, texts, answer in zip(chunk, shown, answers, strict=True):
                yield self._read(record, texts, answer)

    def _shown(self, record: Record, whole: Sequence[Record], peers: Peers, room: Room) -> list[str]:
        others = peers[record.labels]
        drawn = room.random(self.kind, "examples", record.id).permutation(others)[: self.examples].tolist()
        texts = [said(whole[place]) for place in drawn if whole[place].id != record.id]
        return [said(record), *texts[: self.examples - 1]]

    def _read(self, record: Record, shown: Sequence[str], answer: str) -> list[Candidate]:
        found = listed_texts(answer)
        if found is None:
            return [MALFORMED if answer.strip() else EMPTY]
        longest = _LENGTHS * max(map(len, shown))
        return [
            (EMPTY if not text else LENGTH if len(text) > longest else varied(record, text, None))
            for text in found[: self.copies]
        ]


def _peers(records: Sequence[Record]) -> Peers:
    places: dict[tuple[str, ...], list[int]] = {}
    for place, record in enumerate(records):
        if record.parent is None and record.labels and record.text is not None and record.spans is None:
            places.setdefault(record.labels, []).append(place)
    return {labels: np.array(found, dtype=np.int64) for labels, found in places.items()}
