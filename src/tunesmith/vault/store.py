"""The vault: one file of named entries that only the master key opens.

Each entry is sealed under a data key of its own, and the master key seals the data keys (envelope encryption). So
another master key can be taken without sealing anything anew, and forgetting an entry destroys the one key that opens
it. What was forgotten is remembered as such, by a keyed digest of its name, so that a later run does not bring it
back unasked.

The file is lines of JSON: a head, an entry a line, and a last line with a keyed digest (HMAC-SHA256) of all before
it. Names are sealed too; an entry's id is a keyed digest of its name. It is replaced as a whole (`runs.write_bytes`),
one process at a time.

A copy of the file made earlier (a backup) still holds what was forgotten since. `rotate` after `forget`, and the old
master key destroyed, makes such copies unreadable.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.errors import NotFound, VaultError, did_you_mean
from tunesmith.runs import write_bytes
from tunesmith.vault.keys import KEY_BYTES, derived, key_id
from tunesmith.vault.seal import Sealer

FORMAT = "tunesmith vault 1"
DEFAULT = "tunesmith.vault"
"""The vault's file in a workspace."""
_RESTORE = "restore the vault from a copy"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A sealed data key and what it sealed; both empty once forgotten."""

    key: bytes = b""
    sealed: bytes = b""


@dataclass
class _Content:
    """What a vault's file holds."""

    index: bytes
    """The key of names' digests; it stays when the master key is changed."""
    entries: dict[str, _Entry] = field(default_factory=dict)


class Vault:
    """An open vault.

    Args:
        path: its file.
        key: the master key.

    Raises:
        NotFound: there is no vault.
        VaultError: another key, or the file was cut or altered.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self.path, self._key = path, key
        self._content = _read(path, key)

    @classmethod
    def create(cls, path: Path, key: bytes) -> Vault:
        """Makes an empty vault.

        Raises:
            VaultError: there is one already.
        """
        with _alone(path):
            if path.exists():
                raise VaultError("there is a vault already", where=str(path), fix="use it, or give another file")
            _write(path, key, _Content(secrets.token_bytes(KEY_BYTES)))
        return cls(path, key)

    @classmethod
    def open_or_create(cls, path: Path, key: bytes) -> Vault:
        """The vault at `path`; an empty one where there is none."""
        return cls(path, key) if path.exists() else cls.create(path, key)

    # Reading ----------------------------------------------------------------------------------------

    def __contains__(self, name: str) -> bool:
        found = self._content.entries.get(self._id(name))
        return found is not None and bool(found.key)

    def __len__(self) -> int:
        return sum(bool(entry.key) for entry in self._content.entries.values())

    def forgotten(self, name: str) -> bool:
        """Whether an entry of that name was forgotten."""
        found = self._content.entries.get(self._id(name))
        return found is not None and not found.key

    def print_of_forgotten(self) -> str:
        """16 hex digits that name this vault and what was forgotten in it; they change with nothing else."""
        gone = sorted(identity for identity, entry in self._content.entries.items() if not entry.key)
        return hmac.digest(self._content.index, json.dumps(gone).encode("ascii"), "sha256").hex()[:16]

    def names(self) -> list[str]:
        """Every entry's name, sorted."""
        return sorted(name for name, _ in self._all())

    def get(self, name: str) -> Any:
        """What was put under a name, JSON values.

        Raises:
            NotFound: there is no such entry, or it was forgotten.
        """
        identity = self._id(name)
        entry = self._content.entries.get(identity)
        if entry is None or not entry.key:
            raise NotFound(
                f"{name!r} was forgotten"
                if entry
                else f"the vault holds no {name!r}{did_you_mean(name, self.names())}",
                where=str(self.path),
                fix="list what there is: tunesmith vault list",
            )
        return self._opened(identity, entry)[1]

    # Writing ----------------------------------------------------------------------------------------

    def put(self, values: Mapping[str, Any]) -> None:
        """Puts JSON values under their names, in place of what stood there. A name that was forgotten stays so."""
        with self._changing() as content:
            sealer = Sealer(self._key)
            for name, value in values.items():
                identity = self._id(name)
                if identity in content.entries and not content.entries[identity].key:
                    continue
                content.entries[identity] = _sealed(sealer, identity, name, value)

    def secret(self, name: str) -> bytes:
        """32 random bytes kept under a name; drawn the first time they are asked for.

        Raises:
            NotFound: they were forgotten.
        """
        if name not in self and not self.forgotten(name):
            with self._changing() as content:
                identity = self._id(name)
                if identity not in content.entries:  # another process may have been faster
                    drawn = secrets.token_bytes(KEY_BYTES).hex()
                    content.entries[identity] = _sealed(Sealer(self._key), identity, name, drawn)
        return bytes.fromhex(self.get(name))

    def forget(self, names: Iterable[str]) -> int:
        """Destroys the keys and contents of entries; how many of them there were.

        Names that the vault does not hold are remembered as forgotten too.
        """
        with self._changing() as content:
            count = 0
            for identity in {self._id(name) for name in names}:
                count += bool(content.entries.get(identity, _Entry()).key)
                content.entries[identity] = _Entry()
        return count

    def rotate(self, key: bytes) -> None:
        """Takes another master key: data keys are sealed anew, entries stay as they are.

        Raises:
            VaultError: it is the same key.
        """
        if key == self._key:
            raise VaultError(
                "the new key is the old one", where=str(self.path), fix="make another: tunesmith vault key"
            )
        with _alone(self.path):
            content = _read(self.path, self._key)
            old, new = Sealer(self._key), Sealer(key)
            content.entries = {
                identity: _Entry(new.seal(old.open(entry.key, _of(identity)), _of(identity)), entry.sealed)
                if entry.key
                else entry
                for identity, entry in content.entries.items()
            }
            _write(self.path, key, content)
        self._key, self._content = key, content

    # Inside -----------------------------------------------------------------------------------------

    def _id(self, name: str) -> str:
        return hmac.digest(self._content.index, name.encode("utf-8", "surrogatepass"), "sha256").hex()[:32]

    def _all(self) -> Iterator[tuple[str, Any]]:
        for identity, entry in self._content.entries.items():
            if entry.key:
                yield self._opened(identity, entry)

    def _opened(self, identity: str, entry: _Entry) -> tuple[str, Any]:
        data_key = Sealer(self._key).open(entry.key, _of(identity), where=str(self.path))
        name, value = json.loads(Sealer(data_key).open(entry.sealed, _of(identity), where=str(self.path)))
        return name, value

    @contextmanager
    def _changing(self) -> Iterator[_Content]:
        """The content as it is now in the file, written when the block ends well."""
        with _alone(self.path):
            content = _read(self.path, self._key)
            yield content
            _write(self.path, self._key, content)
        self._content = content


def _sealed(sealer: Sealer, identity: str, name: str, value: Any) -> _Entry:
    data_key = secrets.token_bytes(KEY_BYTES)
    said = json.dumps([name, value]).encode("ascii")
    return _Entry(sealer.seal(data_key, _of(identity)), Sealer(data_key).seal(said, _of(identity)))


def _of(identity: str) -> bytes:
    """What binds a sealed thing to its place, so that entries cannot be exchanged."""
    return f"entry {identity}".encode()


# The file ---------------------------------------------------------------------------------------


def _write(path: Path, key: bytes, content: _Content) -> None:
    index = Sealer(key).seal(content.index, b"index")
    head = {"format": FORMAT, "key": key_id(key), "index": _text(index)}
    lines = [json.dumps(head)]
    for identity, entry in content.entries.items():
        lines.append(json.dumps([identity, _text(entry.key), _text(entry.sealed)]))
    body = ("\n".join(lines) + "\n").encode("ascii")
    write_bytes(path, body + _digest(key, body).encode("ascii") + b"\n")
    path.chmod(0o600)


def _read(path: Path, key: bytes) -> _Content:
    try:
        written = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound("there is no vault", where=str(path), fix="make one: tunesmith vault init") from error
    except OSError as error:
        raise VaultError(f"the vault cannot be read: {error.strerror}", where=str(path), fix=_RESTORE) from error
    body, _, said = written[:-1].rpartition(b"\n")
    body += b"\n"
    head = _head(body, path)
    if head.get("key") != key_id(key):
        raise VaultError(
            f"the vault was locked with another key (its id is {head.get('key')}, yours is {key_id(key)})",
            where=str(path),
            fix="set TUNESMITH_KEY or TUNESMITH_KEY_FILE to the key it was made with, or last rotated to",
        )
    if written[-1:] != b"\n" or not hmac.compare_digest(said, _digest(key, body).encode("ascii")):
        raise VaultError("the vault was cut or altered", where=str(path), fix=_RESTORE)
    # From here on the file is known to be as it was written.
    index = Sealer(key).open(b64decode(head["index"]), b"index", where=str(path))
    rows = (json.loads(line) for line in body.splitlines()[1:])
    return _Content(index, {identity: _Entry(b64decode(key), b64decode(sealed)) for identity, key, sealed in rows})


def _head(body: bytes, path: Path) -> dict[str, Any]:
    try:
        head = json.loads(body.partition(b"\n")[0])
        if head["format"] == FORMAT:
            return dict(head)
    except (ValueError, KeyError, TypeError):
        pass
    raise VaultError("this is no vault, or its beginning was altered", where=str(path), fix=_RESTORE)


def _digest(key: bytes, body: bytes) -> str:
    return hmac.digest(derived(key, "vault file"), body, "sha256").hex()


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time: the file itself is replaced, so the lock is one beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
