"""Keys, seals and the vault: every change is noticed, what is forgotten is gone, another master key keeps the rest."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.errors import NotFound, VaultError
from tunesmith.vault import seal
from tunesmith.vault.keys import derived, key_id, master_key, new_key, read_key
from tunesmith.vault.seal import Sealer, is_sealed
from tunesmith.vault.store import Vault

KEY = bytes.fromhex("8f1c3a5de97b2046c8d1f0a37e5b94620d3c6ba8f7e1459206b8d4ca71e35f90")
OTHER = KEY[::-1]


def told(data: bytes) -> str:
    return base64.b64encode(data).decode()


# Keys ---------------------------------------------------------------------------------------------


def test_a_key_comes_from_the_environment_or_a_private_file(tmp_path: Path) -> None:
    assert master_key({"TUNESMITH_KEY": told(KEY) + "\n"}) == KEY
    file = tmp_path / "key"
    file.write_text(told(KEY) + "\n")
    file.chmod(0o600)
    assert master_key({"TUNESMITH_KEY_FILE": str(file)}) == KEY
    file.chmod(0o640)
    with pytest.raises(VaultError, match=r"others can read the key file \(mode 0640\)") as caught:
        master_key({"TUNESMITH_KEY_FILE": str(file)})
    assert caught.value.fix == f"chmod 600 {file}"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "there is no key"),
        ({"TUNESMITH_KEY": told(KEY), "TUNESMITH_KEY_FILE": "x"}, "both set"),
        ({"TUNESMITH_KEY_FILE": "/nowhere/key"}, "cannot be read"),
        ({"TUNESMITH_KEY": "correct horse!"}, "not base64"),
        ({"TUNESMITH_KEY": told(KEY[:16])}, "has 16 bytes, not 32"),
        ({"TUNESMITH_KEY": told(bytes(32))}, "can be guessed"),
        ({"TUNESMITH_KEY": told(b"ab" * 16)}, "can be guessed"),
        ({"TUNESMITH_KEY": told(bytes(range(3, 163, 5)))}, "can be guessed"),
        ({"TUNESMITH_KEY": told(b"correct horse battery staple ok!")}, "can be guessed"),
    ],
)
def test_what_is_no_key_is_refused_and_never_repeated(environment: dict[str, str], said: str) -> None:
    with pytest.raises(VaultError, match=said) as caught:
        master_key(environment)
    assert caught.value.fix
    assert not any(value in str(caught.value) for value in environment.values() if len(value) > 20)


def test_new_keys_are_keys_and_differ() -> None:
    keys = {read_key(new_key(), "") for _ in range(50)}
    assert len(keys) == 50


def test_derived_keys_are_hkdf_and_differ_by_purpose() -> None:
    import hashlib
    import hmac

    extracted = hmac.digest(b"salt", KEY, hashlib.sha256)
    assert derived(KEY, "x", b"salt") == hmac.digest(extracted, b"tunesmith x\x01", hashlib.sha256)
    assert len({derived(KEY, "x"), derived(KEY, "y"), derived(OTHER, "x"), derived(KEY, "x", b"s")}) == 4
    assert key_id(KEY) != key_id(OTHER)


# Seals --------------------------------------------------------------------------------------------


def sealed_file(data: bytes, key: bytes = KEY, context: bytes = b"rows") -> bytes:
    return b"".join(Sealer(key).seal_stream([data[:7], data[7:]], context))


def opened_file(blob: bytes, key: bytes = KEY, context: bytes = b"rows") -> bytes:
    file: BinaryIO = io.BytesIO(blob)
    with Sealer(key).reader(file, context, where="rows.parquet") as reader:
        return reader.read()


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_records_open_as_they_were(data: bytes, context: bytes) -> None:
    blob = Sealer(KEY).seal(data, context)
    assert Sealer(KEY).open(blob, context) == data
    assert Sealer(KEY).seal(data, context) != blob


def test_every_flipped_bit_of_a_record_is_noticed() -> None:
    blob = Sealer(KEY).seal(b"Anna Muster", b"row 1")
    for place in range(8 * len(blob)):
        broken = bytearray(blob)
        broken[place // 8] ^= 1 << place % 8
        with pytest.raises(VaultError):
            Sealer(KEY).open(bytes(broken), b"row 1")
    for key, context, whole in ((OTHER, b"row 1", blob), (KEY, b"row 2", blob), (KEY, b"row 1", blob[:-1])):
        with pytest.raises(VaultError):
            Sealer(key).open(whole, context)


@given(st.integers(0, 200), st.lists(st.integers(1, 64), max_size=8))
@settings(max_examples=40)
def test_files_open_as_they_were_from_any_place(size: int, cuts: list[int]) -> None:
    chunk, seal.CHUNK = seal.CHUNK, 32
    try:
        data = bytes(place % 251 for place in range(size))
        blob = sealed_file(data)
        assert is_sealed(blob) and not is_sealed(data)
        assert opened_file(blob) == data
        with Sealer(KEY).reader(io.BytesIO(blob), b"rows") as reader:
            for cut in cuts:
                place = cut * 7 % (size + 1)
                assert reader.seek(place) == place
                assert reader.read(cut) == data[place : place + cut]
            assert reader.seek(-min(size, 5), os.SEEK_END) == size - min(size, 5)
            assert reader.read() == data[size - min(size, 5) :]
    finally:
        seal.CHUNK = chunk


def test_every_flipped_bit_and_every_cut_of_a_file_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "CHUNK", 32)
    blob = sealed_file(bytes(range(70)))
    for place in range(8 * len(blob)):
        broken = bytearray(blob)
        broken[place // 8] ^= 1 << place % 8
        with pytest.raises(VaultError):
            opened_file(bytes(broken))
    for length in range(len(blob)):
        with pytest.raises(VaultError):
            opened_file(blob[:length])
    for more in (b"\0", blob[27:]):
        with pytest.raises(VaultError):
            opened_file(blob + more)
    for key, context in ((OTHER, b"rows"), (KEY, b"other rows")):
        with pytest.raises(VaultError, match="the seal is broken"):
            opened_file(blob, key, context)


def test_chunks_cannot_be_exchanged_or_moved_to_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "CHUNK", 32)
    one, two = sealed_file(bytes(96)), sealed_file(bytes(96))
    head, size = 27, 48
    chunks = [one[head + at * size : head + (at + 1) * size] for at in range(3)]
    foreign = [two[head + at * size : head + (at + 1) * size] for at in range(3)]
    for order in ([chunks[1], chunks[0], chunks[2]], [chunks[0], chunks[0], chunks[2]], [foreign[0], *chunks[1:]]):
        with pytest.raises(VaultError):
            opened_file(one[:head] + b"".join(order))


def test_a_parquet_reader_works_on_a_sealed_file(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"n": list(range(50_000)), "text": [f"row {n}" for n in range(50_000)]})
    plain = io.BytesIO()
    pyarrow.parquet.write_table(table, plain)
    path = tmp_path / "rows.parquet"
    path.write_bytes(sealed_file(plain.getvalue()))
    assert b"PAR1" not in path.read_bytes()
    with Sealer(KEY).reader(path.open("rb"), b"rows") as reader:
        assert pyarrow.parquet.read_table(reader, columns=["n"]).column("n").to_pylist() == list(range(50_000))


# The vault ----------------------------------------------------------------------------------------


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    made = Vault.create(tmp_path / "tunesmith.vault", KEY)
    made.put({"person/Malin Torek": ["Anna Muster"], "email/x@example.org": ["anna@muster.ch"], "token": "s3cret"})
    return made


def test_what_is_put_is_found_again_by_whoever_has_the_key(vault: Vault) -> None:
    again = Vault(vault.path, KEY)
    assert again.names() == ["email/x@example.org", "person/Malin Torek", "token"] and len(again) == 3
    assert again.get("person/Malin Torek") == ["Anna Muster"]
    assert "token" in again and "tokem" not in again
    with pytest.raises(NotFound, match=r"holds no 'tokem' \(did you mean 'token'\?\)"):
        again.get("tokem")


def test_the_file_is_private_and_says_nothing(vault: Vault) -> None:
    written = vault.path.read_bytes()
    assert vault.path.stat().st_mode & 0o077 == 0
    for word in (b"Anna", b"anna@muster.ch", b"s3cret", b"Malin", b"token", KEY):
        assert word not in written and base64.b64encode(word) not in written


def test_another_key_a_cut_and_every_flipped_bit_are_told(vault: Vault) -> None:
    with pytest.raises(VaultError, match="locked with another key"):
        Vault(vault.path, OTHER)
    whole = vault.path.read_bytes()
    for place in range(8 * len(whole)):
        broken = bytearray(whole)
        broken[place // 8] ^= 1 << place % 8
        vault.path.write_bytes(broken)
        with pytest.raises(VaultError):
            Vault(vault.path, KEY)
    for length in range(0, len(whole), 7):
        vault.path.write_bytes(whole[:length])
        with pytest.raises(VaultError):
            Vault(vault.path, KEY)
    lines = whole.splitlines(keepends=True)
    vault.path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    with pytest.raises(VaultError, match="cut or altered"):
        Vault(vault.path, KEY)


def test_what_is_forgotten_is_gone_and_stays_so(vault: Vault) -> None:
    line = next(row for row in vault.path.read_bytes().splitlines()[1:-1] if json.loads(row)[0] == vault._id("token"))
    assert vault.forget(["token", "never there"]) == 1
    again = Vault(vault.path, KEY)
    assert "token" not in again and again.names() == ["email/x@example.org", "person/Malin Torek"]
    assert again.forgotten("token") and again.forgotten("never there") and not again.forgotten("email/x@example.org")
    with pytest.raises(NotFound, match="'token' was forgotten"):
        again.get("token")
    # Neither its key nor what it sealed is in the file any more.
    assert not any(part.encode() in vault.path.read_bytes() for part in json.loads(line)[1:])
    again.put({"token": "back", "other": 1})
    assert "token" not in again and again.get("other") == 1


def test_another_master_key_keeps_all_and_ends_the_old_one(vault: Vault) -> None:
    copy = vault.path.with_name("backup")
    copy.write_bytes(vault.path.read_bytes())
    vault.forget(["token"])
    sealed = {json.loads(row)[2] for row in vault.path.read_bytes().splitlines()[1:-1]}
    vault.rotate(OTHER)
    again = Vault(vault.path, OTHER)
    assert again.get("person/Malin Torek") == ["Anna Muster"] and again.forgotten("token")
    assert {json.loads(row)[2] for row in vault.path.read_bytes().splitlines()[1:-1]} == sealed
    with pytest.raises(VaultError, match="another key"):
        Vault(vault.path, KEY)
    with pytest.raises(VaultError, match="another key"):
        Vault(copy, OTHER)
    with pytest.raises(VaultError, match="the new key is the old one"):
        again.rotate(OTHER)


def test_secrets_are_drawn_once_and_can_be_forgotten(vault: Vault) -> None:
    drawn = vault.secret("pseudonym key")
    assert len(drawn) == 32 and Vault(vault.path, KEY).secret("pseudonym key") == drawn != vault.secret("another")
    vault.forget(["pseudonym key"])
    with pytest.raises(NotFound, match="forgotten"):
        vault.secret("pseudonym key")


def test_two_openings_do_not_undo_each_other(vault: Vault) -> None:
    beside = Vault(vault.path, KEY)
    vault.put({"one": 1})
    beside.put({"two": 2})
    beside.forget(["token"])
    assert Vault(vault.path, KEY).names() == ["email/x@example.org", "one", "person/Malin Torek", "two"]
    with pytest.raises(VaultError, match="there is a vault already"):
        Vault.create(vault.path, KEY)
    assert Vault.open_or_create(vault.path, KEY).get("one") == 1
    with pytest.raises(NotFound, match="there is no vault"):
        Vault(vault.path.with_name("none"), KEY)
