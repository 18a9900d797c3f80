"""Sources to rows: paths, globs and hub ids, and which reader reads each file."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from tunesmith.data.read.decode import COMPRESSIONS, open_bytes
from tunesmith.data.read.strict_json import Refused, parse
from tunesmith.data.readers import Broken, Reader, Row
from tunesmith.errors import DataError, did_you_mean
from tunesmith.part import READERS
from tunesmith.spec.sections import Source

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database",
    b"ARROW1": "an Arrow file",
    b"\x80\x04\x95": "a pickle",
}


@dataclass(frozen=True, slots=True)
class File:
    """One file of a source, or one data set of the hub, and how it is read."""

    path: Path
    shown: str
    """How messages and record ids call it: relative to the spec's folder where it lies below."""
    reader: Reader

    @property
    def encoding(self) -> str:
        return self.reader.encoding(self.path)

    def rows(self) -> Iterator[Row | Broken]:
        """The reader's rows, named by `shown`."""
        own = len(self.path.name)
        for row in self.reader.rows(self.path):
            yield row if row.where.startswith(f"{self.shown}:") else replace(row, where=self.shown + row.where[own:])


def read(source: Source, folder: Path) -> Iterator[Row | Broken]:
    """Yields every row of a source, file by file in the order of their names.

    Args:
        source: path, glob or hub id, with its reader if one was written.
        folder: what relative paths start from, the spec's folder.

    Raises:
        DataError: nothing is there, or a file cannot be read as a whole.
        MissingDependency: a hub id, and the `datasets` package is not installed.
    """
    for file in find(source, folder):
        yield from file.rows()


def find(source: Source, folder: Path) -> list[File]:
    """The files of a source, sorted by path. Raises as `read` does."""
    reader = cast("Reader | None", source.format)
    if reader is not None and reader.kind == "hub":
        return [_hub_file(source.path, reader)]
    written = Path(source.path).expanduser()
    path = written if written.is_absolute() else folder / written
    if _exists(path, source.path):
        _refuse_other_than_files(path, source.path)
        return [_file(path, folder, reader)]
    if glob.has_magic(source.path):
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - absolute patterns
        files = [match for match in matches if match.is_file()]
        if not files:
            raise DataError(
                "no file matches", where=source.path, fix=f"check the pattern; it is looked for under {path.parent}"
            )
        return [_file(match, folder, reader) for match in files]
    if "://" in source.path:
        raise DataError(
            "is a web address, not a file", where=source.path, fix="download it first and write the file's path"
        )
    if reader is None and _looks_like_hub_id(source.path) and not path.parent.exists():
        return [_hub_file(source.path, cast(Reader, READERS.make("hub")))]
    raise DataError(f"does not exist{_neighbours(path)}", where=source.path, fix=f"looked for {path}; mend the path")


def _looks_like_hub_id(written: str) -> bool:
    return _HUB_ID.fullmatch(written) is not None and _kind_by_ending(Path(written)) is None


def _hub_file(name: str, reader: Reader) -> File:
    return File(Path(name), name, reader)


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
    if path.is_dir():
        inside = sorted(child.suffix for child in path.iterdir() if child.is_file() and child.suffix)
        common = max(set(inside), key=inside.count) if inside else ".jsonl"
        raise DataError(
            "is a folder", where=shown, fix=f"name the files in it, for example {shown.rstrip('/')}/*{common}"
        )
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


def _file(path: Path, folder: Path, reader: Reader | None) -> File:
    below = path.is_relative_to(folder)
    shown = (path.relative_to(folder) if below else Path(path.name)).as_posix()
    with open_bytes(path) as file:
        head = file.read(2**16)
    if not head.strip():
        raise DataError("holds nothing but blanks", where=shown, fix="write rows into it, or leave it out")
    return File(path, shown, reader or cast(Reader, READERS.make(_format(path, head, shown))))


def _format(path: Path, head: bytes, shown: str) -> str:
    foreign = next((what for magic, what in _FOREIGN.items() if head.startswith(magic)), None)
    if foreign is not None:
        raise DataError(f"is {foreign}", where=shown, fix="export its rows as CSV, JSON Lines or Parquet")
    if head.startswith(b"PAR1"):
        return "parquet"
    kind = _kind_by_ending(path)
    if kind in ("json", "jsonl", None) and (inside := _json_kind(head)):
        return inside
    if kind is None:
        raise DataError(
            f"has an ending {path.suffix!r} that names no format" if path.suffix else "has no ending",
            where=shown,
            fix=f"write {{path: {shown}, format: ...}} with one of: {', '.join(READERS.names())}",
        )
    return kind


def _kind_by_ending(path: Path) -> str | None:
    """The format a file's ending names, `.csv.gz` like `.csv`."""
    name = path.name.lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    suffix = Path(name).suffix
    return next((kind for kind in READERS.names() if suffix and suffix in _suffixes(kind)), None)


def _suffixes(kind: str) -> tuple[str, ...]:
    reader = READERS.load(kind)
    assert issubclass(reader, Reader)
    return reader.suffixes


def _json_kind(head: bytes) -> str | None:
    """`json` or `jsonl` where the first bytes show which; endings of the two are often mixed up."""
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("["):
        return "json"
    if not text.startswith("{"):
        return None
    first, _, rest = text.partition("\n")
    try:
        parse(first)
    except Refused:
        return None
    return "jsonl" if rest.strip() else None
