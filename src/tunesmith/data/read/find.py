"""Sources to files: paths, patterns, folders, archives, addresses, databases and hub ids, and what reads each."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from tunesmith.data.read.decode import compression, open_bytes
from tunesmith.data.read.formats import format_of, kind_by_ending, refuse_foreign
from tunesmith.data.read.places.archives import archive_kind, unpack
from tunesmith.data.read.places.copies import kept
from tunesmith.data.read.places.folders import DOCUMENTS, walk
from tunesmith.data.read.places.remote import fetch, plain_url
from tunesmith.data.readers import Broken, Reader, Row, Stretch
from tunesmith.errors import DataError, did_you_mean
from tunesmith.part import READERS
from tunesmith.runs import file_digest, fingerprint
from tunesmith.spec.sections import Source

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DATABASES = ("sqlite", "postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle", "duckdb", "cockroachdb")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a source, or one data set of the hub, and how it is read."""

    path: Path
    shown: str
    """How messages and record ids call it: relative to the spec's folder where it lies below."""
    reader: Reader
    format: str
    """What the ledger calls its format."""
    copied: bool = False
    """Whether `path` is a copy of what lies elsewhere, to be named by `shown` alone."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Columns that each row has beside its own."""
    notes: tuple[str, ...] = ()
    """What is to be said of the source it belongs to."""

    @property
    def encoding(self) -> str:
        """As the ledger says it: `koi8_r (92% sure)`; empty for binary formats."""
        found = None if self.reader.kind == "hub" else self.reader.written_in(self.path)
        return str(found) if found else ""

    def rows(self, stretch: Stretch | None = None) -> Iterator[Row | Broken]:
        """The reader's rows, all or those of one stretch, named by `shown`."""
        hub = self.reader.kind == "hub"
        found = self.reader.rows(self.path) if hub else self.reader.named_rows(self.path, self.shown, stretch)
        if not self.columns:
            return found
        return (
            Row({**self.columns, **row.values}, row.where, row.notes) if isinstance(row, Row) else row for row in found
        )

    def stretches(self, size: int) -> list[Stretch]:
        """The file in stretches of about `size` bytes that `rows` can be given; none where it is read in one piece."""
        return self.reader.stretches(self.path, size)

    def described(self, folder: Path) -> dict[str, Any]:
        """Its name, sha256 and size, by which a run knows its data.

        Of a fetched, unpacked or queried source it is the content that counts; a data set of the hub is named by its
        id, since what it holds is known only once it is fetched.
        """
        if self.reader.kind == "hub":
            return {"path": self.shown, "sha256": fingerprint(self.shown), "bytes": 0}
        name = self.shown if self.copied else os.path.relpath(self.path, folder)
        return {"path": name, "sha256": file_digest(self.path), "bytes": self.path.stat().st_size}


def read(source: Source, folder: Path) -> Iterator[Row | Broken]:
    """Yields every row of a source, file by file in the order of their names.

    Args:
        source: path, pattern, folder, address, database or hub id, with its reader if one was written.
        folder: what relative paths start from, the spec's folder.

    Raises:
        DataError: nothing is there, or a file cannot be read as a whole.
        MissingDependency: a package it needs is not installed.
    """
    for file in find(source, folder):
        yield from file.rows()


def find(source: Source, folder: Path, *, fresh: bool = False) -> list[File]:
    """The files of a source, sorted by path; what is no plain file is copied.

    Args:
        fresh: fetch and query again what this process has copied before. Without it the rows of one command stay
            the same from their digest to the last stage.

    Raises:
        DataError, MissingDependency: as `read`.
    """
    reader = cast("Reader | None", source.format)
    scheme = source.path.partition("://")[0].lower() if "://" in source.path else ""
    if reader is not None and reader.kind == "hub":
        return [_hub_file(source.path, reader)]
    if scheme.partition("+")[0] in _DATABASES:
        return [_queried(source.path, reader, folder, fresh)]
    if scheme == "file":
        return _local(source.path.partition("://")[2], folder, reader, fresh)
    if scheme:
        return [each for name, path in fetch(source.path, fresh) if path for each in _fetched(path, name, reader)]
    return _local(source.path, folder, reader, fresh)


def _local(written: str, folder: Path, reader: Reader | None, fresh: bool) -> list[File]:
    path = Path(written).expanduser()
    path = path if path.is_absolute() else folder / path
    if _exists(path, written):
        if path.is_dir():
            return _documents(path, written, folder, reader)
        _refuse_other_than_files(path, written)
        return _files(path, _shown(path, folder), folder, reader, fresh)
    if glob.has_magic(written):
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - absolute patterns
        found = [match for match in matches if match.is_file()]
        if not found:
            raise DataError("no file matches", where=written, fix=f"check the pattern; looked under {path.parent}")
        return [each for match in found for each in _files(match, _shown(match, folder), folder, reader, fresh)]
    if reader is None and _looks_like_hub_id(written) and not path.parent.exists():
        return [_hub_file(written, cast(Reader, READERS.make("hub")))]
    raise DataError(f"does not exist{_neighbours(path)}", where=written, fix=f"looked for {path}; mend the path")


def _looks_like_hub_id(written: str) -> bool:
    return _HUB_ID.fullmatch(written) is not None and kind_by_ending(Path(written)) is None


def _hub_file(name: str, reader: Reader) -> File:
    return File(Path(name), name, reader, reader.kind)


def _shown(path: Path, folder: Path) -> str:
    return (path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)).as_posix()


def _exists(path: Path, shown: str) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # loops of links, names too long, NUL in a name
        raise DataError(
            f"cannot be looked at: {error.strerror if isinstance(error, OSError) else error}",
            where=shown,
            fix="mend the path, or ask for the right to read it",
        ) from error
    return True


def _refuse_other_than_files(path: Path, shown: str) -> None:
    if not path.is_file():
        raise DataError("is neither a file nor a folder", where=shown, fix="write its rows to a file and name that")
    if path.stat().st_size == 0:
        raise DataError("is empty", where=shown, fix="write rows into it, or take it out of data.sources")


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; nor does its folder {path.parent.name!r}{did_you_mean(path.parent.name, _names(path.parent.parent))}"
    return did_you_mean(path.name, _names(path.parent))


def _names(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir()) if folder.is_dir() else []


# Files, and what holds several ------------------------------------------------------------------------


def _files(path: Path, shown: str, folder: Path, reader: Reader | None, fresh: bool) -> list[File]:
    """A file as it is, the files of an archive, or the rows of a database."""
    head = _head(path, shown)
    if reader is None or reader.kind != "excel":
        kind = archive_kind(head, path.name)
        if kind == "tar" or (kind == "zip" and not _is_office(path, shown)):
            return _unpacked(path, kind, shown, reader)
    if reader is None:
        named = "excel" if archive_kind(head, path.name) else format_of(path, head, shown)
        reader = cast(Reader, READERS.make(named))
    else:
        refuse_foreign(head, shown)
    if reader.kind == "sql":
        return [_queried(f"sqlite:///{path}", reader, folder, fresh, shown)]
    return [File(path, shown, reader, reader.kind)]


def _head(path: Path, shown: str) -> bytes:
    with open_bytes(path) as file:
        head = file.read(2**16)
    if not head.strip():
        raise DataError("holds nothing but blanks", where=shown, fix="write rows into it, or leave it out")
    if compression(head) is not None:
        raise DataError("is compressed twice", where=shown, fix="decompress it once and name the file")
    return head


def _is_office(path: Path, shown: str) -> bool:
    """Whether a zip archive is a workbook.

    Raises:
        DataError: it is another document of an office program.
    """
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        what = "an Excel workbook or zip archive that is damaged or cut short"
        raise DataError(f"is {what}: {error}", where=shown, fix="save or fetch it again") from error
    if "xl/workbook.xml" in names:
        return True
    if "[Content_Types].xml" in names or "mimetype" in names:
        raise DataError("is a document of an office program", where=shown, fix="save it as .xlsx, .csv, .html or .txt")
    return False


def _unpacked(path: Path, kind: str, shown: str, reader: Reader | None) -> list[File]:
    """The data files of an archive; where it holds both tables and documents, the tables."""
    found, left = [], []
    for name, copy in sorted(unpack(path, kind, shown), key=lambda pair: pair[0]):
        inside = f"{shown}/{name}"
        if copy is None or copy.stat().st_size == 0:
            left.append(name)
            continue
        try:
            head = _head(copy, inside)
            own = reader or cast(Reader, READERS.make("excel" if _workbook(head) else format_of(copy, head, inside)))
        except DataError:
            left.append(name)
            continue
        found.append(File(copy, inside, own, f"{own.kind} in {kind}", copied=True))
    tables = [file for file in found if file.reader.kind not in ("text", "document")]
    left += [file.shown.removeprefix(f"{shown}/") for file in found if tables and file not in tables]
    if not found:
        raise DataError(
            f"holds no data file ({', '.join(map(repr, left[:5])) or 'nothing at all'})",
            where=shown,
            fix="put JSON Lines, CSV, TSV, Parquet, Excel or text files into it",
        )
    note = f"{shown}: {len(left)} in it not read: {', '.join(left[:4])}{', ...' if len(left) > 4 else ''}"
    first, *others = tables or [replace(file, columns={"path": file.shown}) for file in found]
    return [replace(first, notes=(note,) if left else ()), *others]


def _workbook(head: bytes) -> bool:
    return head.startswith(b"PK\x03\x04")


def _fetched(path: Path, url: str, reader: Reader | None) -> list[File]:
    shown = plain_url(url)
    if path.stat().st_size == 0:
        raise DataError("is empty", where=shown, fix="take it out of data.sources")
    return [replace(file, copied=True) for file in _files(path, shown, path.parent, reader, False)]


def _queried(url: str, reader: Reader | None, folder: Path, fresh: bool, shown: str = "") -> File:
    """The rows of a database, copied as JSON Lines: what is digested is what is read."""
    from tunesmith.data.readers.sql import Sql, copy_rows

    if reader is not None and not isinstance(reader, Sql):
        raise DataError(
            f"is a database, which {reader.kind!r} does not read",
            where=plain_url(url),
            fix='write `format: {kind: sql, table: NAME}` or `{kind: sql, query: "SELECT ..."}`',
        )
    sql = reader or Sql()
    shown = shown or plain_url(url)
    key = ("sql", url, str(folder), sql.model_dump_json())
    ((_, path),) = kept(key, fresh, lambda: [(shown, copy_rows(sql, url, folder, shown))])
    assert path is not None
    return File(path, shown, cast(Reader, READERS.make("jsonl")), "sql", copied=True)


def _documents(path: Path, written: str, folder: Path, reader: Reader | None) -> list[File]:
    """A folder's documents, one a row."""
    if reader is not None and reader.kind not in ("document", "text"):
        raise DataError("is a folder", where=written, fix=f"name the files in it, such as {written.rstrip('/')}/*")
    found = walk(path)
    if not found.documents:
        common = next(iter(found.others.most_common(1)), (".jsonl", 0))[0]
        raise DataError(
            f"is a folder without documents ({', '.join(DOCUMENTS)})",
            where=written,
            fix=f"name the files in it, for example {written.rstrip('/')}/*{common}",
        )
    reader = reader or cast(Reader, READERS.make("document"))
    root = path.resolve()
    notes = tuple(f"{written}: {note}" for note in found.notes())
    shown = _shown(path, folder)
    return [
        File(
            each,
            f"{shown}/{each.relative_to(root).as_posix()}",
            reader,
            "documents",
            columns={"path": each.relative_to(root).as_posix()},
            notes=notes if number == 0 else (),
        )
        for number, each in enumerate(found.documents)
    ]
