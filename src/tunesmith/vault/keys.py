"""The master key and what is derived from it.

The key is 32 random bytes in base64, in `TUNESMITH_KEY` or in a file named by `TUNESMITH_KEY_FILE` that only its
owner can read. It is random, so nothing stretches it; what looks like a word, a counter or a repetition is refused.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tunesmith.errors import VaultError

KEY_BYTES = 32
VARIABLE = "TUNESMITH_KEY"
FILE_VARIABLE = "TUNESMITH_KEY_FILE"

_FEWEST_DISTINCT = 16
"""32 random bytes have fewer than 16 distinct values once in 10^15 draws."""
_MAKE = "make one: tunesmith vault key > FILE; chmod 600 FILE; export TUNESMITH_KEY_FILE=FILE"


def new_key() -> str:
    """A fresh master key, as `TUNESMITH_KEY` takes it."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")


def master_key(environment: Mapping[str, str] | None = None) -> bytes:
    """The master key that the environment names.

    Raises:
        VaultError: there is none, it is not a key, it is too weak, or others can read its file.
    """
    environment = os.environ if environment is None else environment
    written, path = environment.get(VARIABLE, ""), environment.get(FILE_VARIABLE, "")
    if written and path:
        raise VaultError(f"{VARIABLE} and {FILE_VARIABLE} are both set", fix="unset one of them")
    if written:
        return read_key(written, VARIABLE)
    if path:
        return key_from_file(Path(path))
    raise VaultError(f"there is no key: neither {VARIABLE} nor {FILE_VARIABLE} is set", fix=_MAKE)


def key_from_file(path: Path) -> bytes:
    """The key a file holds.

    Raises:
        VaultError: it cannot be read, others can read it too, or it holds no key.
    """
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise VaultError(
                f"others can read the key file (mode {stat.S_IMODE(mode):04o})",
                where=str(path),
                fix=f"chmod 600 {path}",
            )
        return read_key(path.read_text("ascii"), str(path))
    except OSError as error:
        raise VaultError(f"the key file cannot be read: {error.strerror}", where=str(path), fix=_MAKE) from error
    except UnicodeDecodeError as error:
        raise VaultError("the file holds no key in base64", where=str(path), fix=_MAKE) from error


def read_key(written: str, where: str) -> bytes:
    """A key from its base64.

    Raises:
        VaultError: it is not 32 bytes, or anyone could guess it.
    """
    try:
        key = base64.b64decode("".join(written.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise VaultError("the key is not base64", where=where, fix=_MAKE) from error
    if len(key) != KEY_BYTES:
        raise VaultError(f"the key has {len(key)} bytes, not {KEY_BYTES}", where=where, fix=_MAKE)
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    # Random bytes are printable from end to end once in 10^13 keys; a passphrase always is.
    if len(set(key)) < _FEWEST_DISTINCT or len(steps) == 1 or all(32 <= byte < 127 for byte in key):
        raise VaultError("the key is not random: it can be guessed", where=where, fix=_MAKE)
    return key


def derived(key: bytes, purpose: str, salt: bytes = b"") -> bytes:
    """A key for one purpose (HKDF with SHA-256, RFC 5869): knowing it tells nothing of `key` or of its siblings."""
    return HKDF(SHA256(), KEY_BYTES, salt or None, b"tunesmith " + purpose.encode()).derive(key)


def key_id(key: bytes) -> str:
    """16 hex digits that tell keys apart and nothing about them."""
    return derived(key, "key id").hex()[:16]
