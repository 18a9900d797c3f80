"""Sealed bytes: encrypted, and any change of them is noticed.

Small records are sealed whole with AES-256-GCM and a random nonce. Files are cut into chunks, each sealed under a key
of the file's own, with its number and whether it is the last one in the nonce (STREAM, Hoang, Reyhanitabar, Rogaway
and Vizár 2015): chunks cannot be changed, dropped, repeated, swapped, cut off at the end, or taken from another file.
A sealed file can be read from any place (`SealedReader`), so Parquet readers work on it.

    record   magic 4 | nonce 12 | ciphertext and tag
    file     magic 4 | salt 16 | nonce prefix 7 | chunks of 64 KiB and a tag each, the last one shorter
"""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tunesmith.errors import VaultError
from tunesmith.vault.keys import KEY_BYTES, derived

RECORD, FILE = b"TSr1", b"TSf1"
"""The first bytes of a sealed record, and of a sealed file."""
CHUNK = 64 * 1024
_NONCE, _TAG, _SALT, _PREFIX = 12, 16, 16, 7
_HEAD = len(FILE) + _SALT + _PREFIX
_FIX = "take the key it was sealed with, or restore it from a copy"


class Sealer:
    """Seals and opens with one key.

    Args:
        key: 32 bytes. Up to 2^32 records may be sealed with one key; files have keys of their own.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._records = AESGCM(derived(key, "records"))
        self._key = key

    def seal(self, data: bytes, context: bytes = b"") -> bytes:
        """Seals a record. `context` is not kept but must be the same on opening: what the record is, and whose."""
        nonce = secrets.token_bytes(_NONCE)
        return RECORD + nonce + self._records.encrypt(nonce, data, RECORD + context)

    def open(self, blob: bytes, context: bytes = b"", *, where: str = "") -> bytes:
        """Opens what `seal` sealed.

        Raises:
            VaultError: another key, another context, or not a byte for byte what was sealed.
        """
        if blob[: len(RECORD)] != RECORD or len(blob) < len(RECORD) + _NONCE + _TAG:
            raise VaultError("this is not a sealed record, or it was cut", where=where, fix=_FIX)
        nonce, body = blob[len(RECORD) : len(RECORD) + _NONCE], blob[len(RECORD) + _NONCE :]
        try:
            return self._records.decrypt(nonce, body, RECORD + context)
        except InvalidTag:
            raise VaultError("the seal is broken: another key, or altered", where=where, fix=_FIX) from None

    def seal_stream(self, pieces: Iterable[bytes], context: bytes = b"") -> Iterator[bytes]:
        """The sealed file that holds `pieces` one after the other, piece by piece; memory for one chunk is enough."""
        salt, prefix = secrets.token_bytes(_SALT), secrets.token_bytes(_PREFIX)
        box = self._box(salt, context)
        yield FILE + salt + prefix
        held, number = bytearray(), 0
        for piece in pieces:
            held += piece
            # The last chunk is told apart, so one is always held back.
            while len(held) > CHUNK:
                yield box.encrypt(_nonce(prefix, number, last=False), bytes(held[:CHUNK]), None)
                del held[:CHUNK]
                number += 1
        yield box.encrypt(_nonce(prefix, number, last=True), bytes(held), None)

    def reader(self, file: BinaryIO, context: bytes = b"", *, where: str = "") -> io.BufferedReader:
        """A sealed file as one that can be read from any place.

        Args:
            file: a seekable binary file; it is closed with the reader.
            context: as it was sealed with.
            where: the file's name, for messages.

        Raises:
            VaultError: at once where it is no sealed file, cut or of another key; on reading where a chunk was altered.
        """
        return io.BufferedReader(SealedReader(file, self, context, where), CHUNK)

    def _box(self, salt: bytes, context: bytes) -> AESGCM:
        return AESGCM(derived(derived(self._key, "files"), "file " + context.hex(), salt))


class SealedReader(io.RawIOBase):
    """The plain bytes of a sealed file; see `Sealer.reader`."""

    def __init__(self, file: BinaryIO, sealer: Sealer, context: bytes, where: str) -> None:
        self._file, self._where, self._at = file, where, 0
        head = file.read(_HEAD)
        body = file.seek(0, os.SEEK_END) - _HEAD
        if head[: len(FILE)] != FILE or body < _TAG:
            raise VaultError("this is not a sealed file, or it was cut", where=where, fix=_FIX)
        salt = head[len(FILE) : len(FILE) + _SALT]
        self._prefix, self._box = head[-_PREFIX:], sealer._box(salt, context)
        self._chunks = -(-body // (CHUNK + _TAG))
        self._size = body - self._chunks * _TAG
        self._number, self._chunk = -1, b""
        self._load(self._chunks - 1)  # a file that was cut has a last chunk that was not sealed as one

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read from any place."""
        return True

    def tell(self) -> int:
        """Where it is read next."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to another place."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Reads up to the end of the chunk it stands in."""
        if self._at >= self._size:
            return 0
        number, inside = divmod(self._at, CHUNK)
        self._load(number)
        found = self._chunk[inside : inside + len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def close(self) -> None:
        """Closes the file below too."""
        if not self.closed:
            self._file.close()
        super().close()

    def _load(self, number: int) -> None:
        if number == self._number:
            return
        self._file.seek(_HEAD + number * (CHUNK + _TAG))
        sealed = self._file.read(CHUNK + _TAG)
        try:
            self._chunk = self._box.decrypt(_nonce(self._prefix, number, last=number == self._chunks - 1), sealed, None)
        except (InvalidTag, ValueError):
            raise VaultError("the seal is broken: another key, cut or altered", where=self._where, fix=_FIX) from None
        self._number = number


def is_sealed(start: bytes) -> bool:
    """Whether a file that begins so is a sealed one."""
    return start[: len(FILE)] == FILE


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])
