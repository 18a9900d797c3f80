"""Spans to token tags and back, by character offsets.

A text is cut into words (runs of letters and digits; every other sign, and every character of scripts
written without blanks, is a word of its own). The first token of a word carries its tag, `B-` or `I-` with
the span's label or `O`; further tokens are not asked. A span whose ends lie inside words is widened to them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tunesmith.records import Span

NOT_ASKED = -100
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W_{_UNSPACED}]+|[^\\s]")

Asked = tuple[int, int, int]
"""Index of a token that is asked for a tag, and start and end of the characters it speaks for."""


def tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    """`("O", "B-x", "I-x", ...)` in the order of `labels`."""
    return ("O", *(f"{prefix}-{label}" for label in labels for prefix in ("B", "I")))


def asked_tokens(text: str, offsets_T2: npt.NDArray[np.int64]) -> list[Asked]:
    """The first token of every word; a token that begins several words speaks for all of them.

    Args:
        offsets_T2: start and end character of each token, [T, 2].
    """
    if not len(offsets_T2):
        return []
    ends = np.maximum.accumulate(offsets_T2[:, 1])
    words = [match.span() for match in _WORD.finditer(text)]
    tokens = np.searchsorted(ends, [start for start, _ in words], side="right").tolist()
    asked: list[Asked] = []
    for (start, end), token in zip(words, tokens, strict=True):
        if token == len(ends) or offsets_T2[token, 0] > start:
            continue  # cut off, or a character the tokenizer leaves out
        if asked and asked[-1][0] == token:
            asked[-1] = (token, asked[-1][1], end)
        else:
            asked.append((token, start, end))
    return asked


def tags_of(
    spans: Sequence[Span], asked: Sequence[Asked], names: Sequence[str], num_tokens: int
) -> npt.NDArray[np.int32]:
    """The tag of every token, [T]; of overlapping spans the longest counts.

    Raises:
        KeyError: a span's label is not among `names`.
    """
    index = {name: number for number, name in enumerate(names)}
    tags_T = np.full(num_tokens, NOT_ASKED, dtype=np.int32)
    tags_T[[token for token, _, _ in asked]] = index["O"]
    covered = [False] * len(asked)
    for span in sorted(spans, key=lambda span: (span.start - span.end, span.start)):
        inside = [at for at, (_, start, end) in enumerate(asked) if start < span.end and end > span.start]
        if not inside or any(covered[at] for at in inside):
            continue
        for at in inside:
            covered[at] = True
            tags_T[asked[at][0]] = index[f"{'B' if at == inside[0] else 'I'}-{span.label}"]
    return tags_T


def spans_of(tags: Sequence[int], asked: Sequence[Asked], names: Sequence[str]) -> tuple[Span, ...]:
    """The stretches that the tags of the asked tokens name; an `I-` that continues nothing begins a stretch."""
    spans: list[Span] = []
    previous = "O"
    for token, start, end in asked:
        name = names[tags[token]] if tags[token] >= 0 else "O"
        prefix, _, label = name.partition("-")
        if prefix == "I" and previous[2:] == label:
            spans[-1] = Span(spans[-1].start, end, label)
        elif prefix != "O":
            spans.append(Span(start, end, label))
        previous = name
    return tuple(spans)
