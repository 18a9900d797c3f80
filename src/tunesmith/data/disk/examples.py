"""Examples on disk: in a file without a name, which goes with the process; where each lies is kept in arrays."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
import numpy.typing as npt

from tunesmith.data.disk.temporary import NamelessFile
from tunesmith.data.encode.example import Example

AHEAD = 2**18
"""Bytes read at once when examples are read in order."""


@dataclass
class ExamplesWriter:
    """Takes examples down, one after the other."""

    _places: array[int] = field(default_factory=lambda: array("q", [0]))
    """Where each begins, and the last one ends."""
    _lengths: array[int] = field(default_factory=lambda: array("q"))
    _sizes: array[int] = field(default_factory=lambda: array("q"))
    """Of each its length in tokens, and what is read and said together."""

    def __post_init__(self) -> None:
        self._file = NamelessFile()
        self._out = os.fdopen(self._file.handle, "wb", closefd=False)

    def append(self, example: Example) -> None:
        """Takes an example down."""
        text = _pack(example)
        self._out.write(text)
        self._places.append(self._places[-1] + len(text))
        self._lengths.append(len(example.ids))
        self._sizes.append(example.num_tokens)

    def finish(self) -> Examples:
        """All of them; nothing can be added any more."""
        self._out.close()
        places, lengths, sizes = (np.asarray(a, np.int64) for a in (self._places, self._lengths, self._sizes))
        return Examples(self._file, places, lengths, sizes)


class Examples(Sequence[Example]):
    """Examples on disk, read when they are asked for."""

    def __init__(
        self,
        file: NamelessFile,
        places: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
    ) -> None:
        self._file, self._places = file, places
        self.lengths, self.num_tokens = lengths, sizes
        self._start, self._block = 0, b""

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        at = range(len(self))[place]
        begin, end = int(self._places[at]), int(self._places[at + 1])
        if begin < self._start or end > self._start + len(self._block):
            ahead = AHEAD if begin == self._start + len(self._block) else 0
            self._start, self._block = begin, os.pread(self._file.handle, max(end - begin, ahead), begin)
        text = self._block[begin - self._start : end - self._start]
        return _unpack(text)

    def __iter__(self) -> Iterator[Example]:
        return (self[at] for at in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(_pack(a) == _pack(b) for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


_HEAD = np.dtype([
    ("name", "<i4"), ("tokens", "<i4"), ("labels", "<i4"), ("answer", "<i4"), ("tags", "?"), ("bent", "?"),
    ("cut", "<i8"), ("weight", "<f8"),
])  # fmt: skip
"""How long what follows is: the name, arrays of tokens, the labels, an answer (-1: none), tags or not."""


def _pack(example: Example) -> bytes:
    name = example.id.encode("utf-8", "surrogatepass")
    tags, answer = example.tags, example.answer_ids
    said = -1 if answer is None else len(answer)
    sizes = (len(name), len(example.ids), len(example.label), said)
    head = np.array((*sizes, tags is not None, example.bent, example.cut, example.weight), _HEAD)
    parts = [head.tobytes(), name, example.ids.astype("<i4").tobytes()]
    parts += [example.trained.tobytes(), example.roles.tobytes(), np.asarray(example.label, "<i4").tobytes()]
    parts += [values.astype("<i4").tobytes() for values in (tags, answer) if values is not None]
    return b"".join(parts)


def _unpack(text: bytes) -> Example:
    head = np.frombuffer(text, _HEAD, 1)[0]
    at = _HEAD.itemsize

    def taken(kind: str, count: int) -> npt.NDArray[np.generic]:
        nonlocal at
        found = np.frombuffer(text, kind, count, at).copy()
        at += found.nbytes
        return found

    name = text[at : at + int(head["name"])].decode("utf-8", "surrogatepass")
    at += int(head["name"])
    tokens, answer = int(head["tokens"]), int(head["answer"])
    ids, trained, roles = taken("<i4", tokens), taken("?", tokens), taken("u1", tokens)
    label = tuple(taken("<i4", int(head["labels"])).tolist())
    tags = taken("<i4", tokens) if head["tags"] else None
    said = taken("<i4", answer) if answer >= 0 else None
    return Example(
        name,
        ids,  # type: ignore[arg-type]
        trained,  # type: ignore[arg-type]
        roles,  # type: ignore[arg-type]
        float(head["weight"]),
        label,
        tags,  # type: ignore[arg-type]
        said,  # type: ignore[arg-type]
        int(head["cut"]),
        bool(head["bent"]),
    )
