"""Records on disk: an append-only file of JSON values, and sequences of records that point into such files.

A sequence of records is two arrays, where each lies and the number of the row it came from: dropping, sorting and
dividing rows moves 16 bytes a row and copies no text. A changed record is appended to a new file and pointed to there.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from tunesmith.records import Record
from tunesmith.vault.keys import master_key
from tunesmith.vault.seal import Sealer

Ints = npt.NDArray[np.int64]
AHEAD = 2**18
"""Bytes read at once when values are read in order."""
_LENGTH = 4
_DECODER = json.JSONDecoder()
_FILE_SHIFT = 44
"""An address is a file's number and, below this bit, the offset in it: 16 TiB a file, half a million files."""


class SpoolWriter:
    """Appends values to a file; `offsets` they lie at are what they are read by.

    Args:
        path: created, or continued from `size` bytes on, whatever lies behind.
        size: how much of it is good.
        sealed: whether each value is encrypted, with the key that the environment names.
    """

    def __init__(self, path: Path, size: int = 0, *, sealed: bool = False) -> None:
        self.path = path
        self._sealer = Sealer(master_key()) if sealed else None
        self._file = path.open("r+b" if size else "wb")
        self._file.truncate(size)
        self._file.seek(size)
        self.size = size

    def append(self, value: Any) -> int:
        """Appends a JSON value and returns its offset."""
        return self.append_bytes(json.dumps(value, separators=(",", ":")).encode("ascii"))

    def append_bytes(self, text: bytes) -> int:
        """Appends a JSON value that is written out already, in ASCII."""
        offset = self.size
        text = self._sealer.seal(text) if self._sealer else text
        self._file.write(len(text).to_bytes(_LENGTH, "little"))
        self._file.write(text)
        self.size += _LENGTH + len(text)
        return offset

    def flush(self) -> None:
        """Puts everything appended on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing can be appended any more."""
        self._file.close()


class IntsWriter:
    """Appends whole numbers of 64 bits to a file.

    Args:
        path: created, or continued from `size` bytes on.
        size: how much of it is good.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self._file = path.open("r+b" if size else "wb")
        self._file.truncate(size)
        self._file.seek(size)

    @property
    def size(self) -> int:
        return self._file.tell()

    def append(self, *values: int) -> None:
        """Appends some numbers."""
        self._file.write(array("q", values).tobytes())

    def flush(self) -> None:
        """Puts everything appended on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing can be appended any more."""
        self._file.close()


class Spool:
    """Reads what a `SpoolWriter` wrote. Can travel to other processes, which open the file for themselves.

    Args:
        path: the file.
        holder: something that keeps the file alive, such as a temporary folder.
        sealed: as it was written.
    """

    def __init__(self, path: Path, holder: object = None, *, sealed: bool = False) -> None:
        self.path, self._holder = path, holder
        self._sealer = Sealer(master_key()) if sealed else None
        self._handle: int | None = None
        self._start, self._block = 0, b""

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "sealed": self._sealer is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], sealed=state["sealed"])  # type: ignore[misc]

    def __del__(self) -> None:
        if self._handle is not None:
            os.close(self._handle)

    def read(self, offset: int) -> Any:
        """The value at an offset."""
        length = int.from_bytes(self._bytes(offset, _LENGTH), "little")
        return self._value(self._bytes(offset + _LENGTH, length))

    def _value(self, text: bytes) -> Any:
        text = self._sealer.open(text, where=str(self.path)) if self._sealer else text
        # Nothing stands around it: `json.loads` would look for blanks and for the encoding, and take twice as long.
        return _DECODER.raw_decode(text.decode("ascii"))[0]

    def values(self, offsets: Sequence[int] | Ints | None = None) -> Iterator[Any]:
        """The values at some offsets, or all of them in order."""
        if offsets is not None:
            yield from (self.read(int(offset)) for offset in offsets)
            return
        offset, end = 0, self.path.stat().st_size
        while offset < end:
            length = int.from_bytes(self._bytes(offset, _LENGTH), "little")
            yield self._value(self._bytes(offset + _LENGTH, length))
            offset += _LENGTH + length

    def _bytes(self, offset: int, length: int) -> bytes:
        at = offset - self._start
        if at < 0 or at + length > len(self._block):
            if self._handle is None:
                self._handle = os.open(self.path, os.O_RDONLY)
            # Near to what was read last: go on in large pieces. Far from it: only what is asked for.
            near = 0 <= at <= len(self._block) + AHEAD
            self._block = os.pread(self._handle, max(length, AHEAD if near else 2048), offset)
            self._start, at = offset, 0
            if len(self._block) < length:
                raise EOFError(f"{self.path} ends before byte {offset + length}")
        return self._block[at : at + length]


class Records(Sequence[Record]):
    """Records on disk, in any order.

    Args:
        spools: the files they lie in.
        addresses: of each record the number of its file and its offset.
        rows: of each the number of the row it came from, unique in a data set.
    """

    def __init__(self, spools: tuple[Spool, ...], addresses: Ints, rows: Ints) -> None:
        assert len(addresses) == len(rows)
        self.spools, self.addresses, self.rows = spools, addresses, rows

    def __len__(self) -> int:
        return len(self.addresses)

    def __iter__(self) -> Iterator[Record]:
        for address in self.addresses.tolist():
            yield self._at(address)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> Records: ...
    def __getitem__(self, place: int | slice) -> Record | Records:
        if isinstance(place, slice):
            return Records(self.spools, self.addresses[place], self.rows[place])
        return self._at(int(self.addresses[place]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def _at(self, address: int) -> Record:
        return Record.from_json(self.spools[address >> _FILE_SHIFT].read(address & ((1 << _FILE_SHIFT) - 1)))

    def take(self, places: Ints | npt.NDArray[np.bool_]) -> Records:
        """The records at some places, in that order; or where a mask is true."""
        return Records(self.spools, self.addresses[places], self.rows[places])

    def detached(self) -> list[Record]:
        """The records themselves, to be sent to another machine."""
        return list(self)


def address(spool: int, offset: int) -> int:
    """Where a record lies: the number of its file and its offset there."""
    return (spool << _FILE_SHIFT) | offset


def joined(parts: Sequence[Records]) -> Records:
    """Records one after the other; their rows keep their numbers."""
    numbers: dict[Spool, int] = {}
    addresses = []
    for part in parts:
        mine = np.array([numbers.setdefault(spool, len(numbers)) for spool in part.spools], np.int64)
        file, offset = part.addresses >> _FILE_SHIFT, part.addresses & ((1 << _FILE_SHIFT) - 1)
        addresses.append((mine[file] << _FILE_SHIFT) | offset if len(file) else part.addresses)
    nothing = np.zeros(0, np.int64)
    return Records(
        tuple(numbers), np.concatenate([nothing, *addresses]), np.concatenate([nothing, *(part.rows for part in parts)])
    )
