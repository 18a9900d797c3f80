"""Which reader reads a file: by its first bytes, then by its ending."""

from __future__ import annotations

from pathlib import Path

from tunesmith.data.read.decode import COMPRESSIONS
from tunesmith.data.read.strict_json import Refused, parse
from tunesmith.data.readers import Reader
from tunesmith.errors import DataError
from tunesmith.part import READERS

_BY_MAGIC = {b"PAR1": "parquet", b"%PDF": "document", b"SQLite format 3": "sql"}
_EXPORT = "export its rows as CSV, JSON Lines or Parquet"
_FOREIGN = {
    b"\xd0\xcf\x11\xe0": (
        "an old Excel workbook (.xls), or one with a password",
        "open it and save it as .xlsx without a password, or as CSV",
    ),
    b"ARROW1": ("an Arrow file", _EXPORT),
    b"\x80\x04\x95": ("a pickle", _EXPORT),
    b"\x80\x05\x95": ("a pickle", _EXPORT),
    b"Rar!": ("a RAR archive", "unpack it and name the files"),
    b"7z\xbc\xaf": ("a 7z archive", "unpack it and name the files"),
    b"Obj\x01": ("an Avro file", _EXPORT),
    b"ORC": ("an ORC file", _EXPORT),
    b"\x89PNG": ("a picture", "name files that hold text"),
    b"\xff\xd8\xff": ("a picture", "name files that hold text"),
    b"\x7fELF": ("a program", "name files that hold text"),
}


def refuse_foreign(head: bytes, shown: str) -> None:
    """Refuses what no reader reads, whatever its ending says.

    Raises:
        DataError: the first bytes are those of such a format.
    """
    for magic, (what, fix) in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"is {what}", where=shown, fix=fix)


def format_of(path: Path, head: bytes, shown: str) -> str:
    """The name of the reader for a file.

    Args:
        path: its ending is looked at.
        head: its first bytes, decompressed.
        shown: what errors call it.

    Raises:
        DataError: it is of a format that is not read, or nothing says which it is.
    """
    refuse_foreign(head, shown)
    for magic, kind in _BY_MAGIC.items():
        if head.startswith(magic):
            return kind
    found = kind_by_ending(path)
    if found in ("json", "jsonl", None) and (inside := _json_kind(head)):
        return inside
    if found is None:
        raise DataError(
            f"has an ending {path.suffix!r} that names no format" if path.suffix else "has no ending",
            where=shown,
            fix=f"write {{path: {shown}, format: ...}} with one of: {', '.join(READERS.names())}",
        )
    return found


def kind_by_ending(path: Path) -> str | None:
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
