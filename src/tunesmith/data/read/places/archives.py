"""Zip and tar archives: the files in them are copied out as streams, never by their names."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tunesmith.data.read.decode import BLOCK, open_bytes
from tunesmith.data.read.places.copies import Copies, kept, write_copy
from tunesmith.data.read.places.limits import refuse_bomb
from tunesmith.errors import DataError

MAX_MEMBERS = 10_000
_FIX = "unpack it yourself and name the files"
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")


def archive_kind(head: bytes, name: str) -> str | None:
    """`zip` or `tar` where a file that begins (decompressed) with `head` is one."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    lower = name.lower()
    by_name = ".tar" in PurePosixPath(lower).suffixes or lower.endswith(".tgz")
    return "tar" if head[257:262] == b"ustar" or (by_name and len(head) >= 512) else None


def unpack(path: Path, kind: str, shown: str) -> Copies:
    """Copies the files of an archive out of it; links, hidden files and archives in the archive are left out.

    Args:
        kind: `zip` or `tar`.
        shown: what errors call the archive.

    Raises:
        DataError: a name leads out of the archive, it is encrypted, damaged, a bomb, or holds too many files.
    """
    status = path.stat()
    open_members = _zip_members if kind == "zip" else _tar_members

    def copy() -> Iterator[tuple[str, Path | None]]:
        out = 0

        def blocks(file: BinaryIO) -> Iterator[bytes]:
            nonlocal out
            while block := file.read(BLOCK):
                out += len(block)
                refuse_bomb(out, status.st_size, shown)
                yield block

        for count, (name, file) in enumerate(open_members(path, shown), 1):
            _refuse_many(count, shown)
            yield name, None if file is None else write_copy(name, blocks(file), shown)

    with _refusing_damage(shown):
        return kept(("archive", str(path), status.st_mtime_ns, status.st_size), False, copy)


def _refuse_many(count: int, shown: str) -> None:
    if count > MAX_MEMBERS:
        raise DataError(f"holds more than {MAX_MEMBERS:,} files", where=shown, fix=_FIX)


@contextmanager
def _refusing_damage(shown: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"the archive is damaged or cut short: {error}", where=shown, fix="fetch it again") from error


def _zip_members(path: Path, shown: str) -> Iterator[tuple[str, BinaryIO | None]]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        _refuse_many(len(infos), shown)
        refuse_bomb(sum(info.file_size for info in infos), path.stat().st_size, shown)
        if len({info.filename for info in infos}) < len(infos):
            raise DataError("holds two files of one name", where=shown, fix=_FIX)
        for info in infos:
            _refuse_name(info.filename, shown)
            if info.is_dir():
                continue
            if stat.S_ISLNK(info.external_attr >> 16) or _is_no_data(info.filename):
                yield info.filename, None
                continue
            if info.flag_bits & 1:
                raise DataError("is encrypted", where=f"{shown}/{info.filename}", fix=_FIX)
            with archive.open(info) as file:
                yield info.filename, file  # type: ignore[misc]  # reads like a file


def _tar_members(path: Path, shown: str) -> Iterator[tuple[str, BinaryIO | None]]:
    with open_bytes(path) as raw, tarfile.open(fileobj=raw, mode="r|") as archive:
        for info in archive:
            _refuse_name(info.name, shown)
            if info.isdir():
                continue
            file = archive.extractfile(info) if info.isfile() and not _is_no_data(info.name) else None
            yield info.name, file  # type: ignore[misc]


def _refuse_name(name: str, shown: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith(("/", "\\")) or (parts and parts[0].endswith(":")):
        raise DataError(
            f"holds a file whose name leads out of the archive, {name!r}",
            where=shown,
            fix="do not trust it; nothing of it was written. If you must, unpack it with care and name the files",
        )


def _is_no_data(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith((".", "__MACOSX")) for part in parts) or name.lower().endswith(_ARCHIVES)
