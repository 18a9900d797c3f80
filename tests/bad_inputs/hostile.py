"""Hostile files: what each is, and what reading it must lead to. Nothing here needs a model or a spec.

`python -m tests.bad_inputs.hostile FOLDER` writes them, reads each under a limit of memory and time, and prints what
came of it as JSON lines.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import resource
import signal
import sqlite3
import struct
import sys
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

MEMORY = 6 * 2**30
"""Address space of the process that reads them all; most of it is what libraries map."""
SECONDS = 20
"""Time of the processor that one of them may take."""

Make = bytes | Callable[[Path], Any]


@dataclass(frozen=True)
class Hostile:
    """One file, or several.

    Args:
        files: name -> content, or what makes it there.
        source: what a spec would name; the first file when left out.
        refused: what the one error says.
        broken: reason -> rows counted as broken; where nothing is refused.
        rows: how many are read; where nothing is refused.
        noted: reason -> rows read with it.
        values: what stands in the first row.
    """

    files: dict[str, Make]
    source: Any = None
    refused: str = ""
    broken: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    noted: dict[str, int] = field(default_factory=dict)
    values: dict[str, Any] | None = None


GOOD = b'{"text": "a good row", "label": "a"}\n'
CSV = b"text,label\na good row,a\n"
NOT_ITS = "bytes that are not of the file's encoding"


# Archives ---------------------------------------------------------------------------------------------


def zipped(**members: bytes) -> Callable[[Path], None]:
    return zip_of(list(members.items()))


def zip_of(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in members:
                archive.writestr(name, content)

    return make


def zip_link(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("rows.csv")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")


def zip_of_many(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(600):
            archive.writestr(f"{number}.jsonl", "{}")


def zip_that_lies(path: Path) -> None:
    """The directory says 20 bytes, and 100 MB follow."""
    zip_of([("rows.jsonl", bytes(100_000_000))])(path)
    raw = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = raw.rindex(magic) + at
        raw[place : place + 4] = struct.pack("<I", 20)
    path.write_bytes(bytes(raw))


def zip_overlapping(path: Path) -> None:
    """Four hundred entries of the directory share one stretch of the file (https://www.bamsoftware.com/hacks/zipbomb)."""
    zip_of([("rows.jsonl", b" " * 1_000_000)])(path)
    raw = path.read_bytes()
    at, end = raw.index(b"PK\x01\x02"), raw.index(b"PK\x05\x06")
    entry = raw[at:end]
    entries = [entry.replace(b"rows.jsonl", f"{n:05}.json".encode()) for n in range(400)]
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 400, 400, 400 * len(entry), at, 0)
    path.write_bytes(raw[:at] + b"".join(entries) + tail)


def zip_encrypted(path: Path) -> None:
    zip_of([("rows.jsonl", GOOD)])(path)
    raw = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        raw[raw.index(magic) + at] |= 1
    path.write_bytes(bytes(raw))


def tarred(*members: tuple[str, bytes | str, bytes], mode: str = "w") -> Callable[[Path], None]:
    """Name, content or target, type."""

    def make(path: Path) -> None:
        with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
            for name, content, kind in members:
                info = tarfile.TarInfo(name)
                info.type = kind
                if isinstance(content, bytes):
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
                else:
                    info.linkname = content
                    archive.addfile(info)

    return make


def cut(make: Callable[[Path], Any], keep: float) -> Callable[[Path], None]:
    def cut_short(path: Path) -> None:
        make(path)
        raw = path.read_bytes()
        path.write_bytes(raw[: int(len(raw) * keep)])

    return cut_short


def tar_bomb(path: Path) -> None:
    """A header of 8 GB, and zeros for as long as anybody reads them."""
    info = tarfile.TarInfo("rows.jsonl")
    info.size = 8 * 2**30
    with gzip.open(path, "wb", 9) as file:
        file.write(info.tobuf())
        for _ in range(64):
            file.write(bytes(2**20))


def pax_bomb(path: Path) -> None:
    """A header about a header: 4 GB of comment."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 4 * 2**30
    with gzip.open(path, "wb", 9) as file:
        file.write(info.tobuf())
        for _ in range(64):
            file.write(bytes(2**20))


def gzip_bomb(path: Path) -> None:
    with gzip.open(path, "wb", 9) as file:
        for _ in range(64):
            file.write(bytes(2**20))


def lines_bomb(path: Path) -> None:
    with gzip.open(path, "wb", 9) as file:
        for _ in range(64):
            file.write(b"\n" * 2**20)


def zstd_bomb(path: Path) -> None:
    with pyarrow.output_stream(str(path), compression="zstd") as file:
        for _ in range(64):
            file.write(bytes(2**20))


REG, LINK, HARD, FIFO, DEVICE = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE
OUT = "name leads out of the archive"
BOMB = "decompression bomb"

ARCHIVES = {
    "zip_that_climbs": Hostile({"a.zip": zip_of([("../../rows.jsonl", GOOD)])}, refused=OUT),
    "zip_from_the_root": Hostile({"a.zip": zip_of([("/tmp/rows.jsonl", GOOD)])}, refused=OUT),
    "zip_with_backslashes": Hostile({"a.zip": zip_of([("..\\..\\rows.jsonl", GOOD)])}, refused=OUT),
    "zip_of_a_drive": Hostile({"a.zip": zip_of([("C:/rows.jsonl", GOOD)])}, refused=OUT),
    "zip_of_a_link": Hostile({"a.zip": zip_link}, refused="holds no data file ('rows.csv')"),
    "zip_bomb": Hostile({"a.zip": zip_of([("rows.jsonl", bytes(100_000_000))])}, refused=BOMB),
    "zip_bomb_in_parts": Hostile(
        {"a.zip": zip_of([(f"{n}.jsonl", bytes(1_000_000)) for n in range(99)])}, refused=BOMB
    ),
    "zip_that_lies": Hostile({"a.zip": zip_that_lies}, refused="damaged or cut short"),
    "zip_overlapping": Hostile({"a.zip": zip_overlapping}, refused=BOMB),
    "zip_of_twins": Hostile({"a.zip": zip_of([("r.jsonl", GOOD), ("r.jsonl", GOOD)])}, refused="two files of one name"),
    "zip_encrypted": Hostile({"a.zip": zip_encrypted}, refused="is encrypted"),
    "zip_in_zip": Hostile({"a.zip": zip_of([("b.zip", b"PK\x03\x04")])}, refused="holds no data file ('b.zip')"),
    "zip_of_nothing": Hostile({"a.zip": zip_of([])}, refused="holds no data file (nothing at all)"),
    "zip_of_too_many": Hostile({"a.zip": zip_of_many}, refused="more than 500 files"),
    "zip_cut": Hostile({"a.zip": cut(zip_of([("rows.jsonl", GOOD * 99)]), 0.5)}, refused="damaged or cut short"),
    "zip_with_a_trap_beside_data": Hostile(
        {"a.zip": zip_of([("r.jsonl", GOOD), ("x.exe", b"MZ"), (".h.csv", b"a")])}, rows=1
    ),
    "tar_that_climbs": Hostile({"a.tar": tarred(("../rows.jsonl", GOOD, REG))}, refused=OUT),
    "tar_from_the_root": Hostile({"a.tar": tarred(("/tmp/rows.jsonl", GOOD, REG))}, refused=OUT),
    "tar_of_a_link": Hostile({"a.tar": tarred(("rows.csv", "/etc/passwd", LINK))}, refused="holds no data file"),
    "tar_of_a_hard_link": Hostile({"a.tar": tarred(("rows.csv", "/etc/passwd", HARD))}, refused="holds no data file"),
    "tar_of_a_pipe": Hostile({"a.tar": tarred(("rows.csv", b"", FIFO))}, refused="holds no data file"),
    "tar_of_a_device": Hostile({"a.tar": tarred(("rows.csv", b"", DEVICE))}, refused="holds no data file"),
    "tar_through_a_link": Hostile(
        {"a.tar": tarred(("d", "/tmp", LINK), ("d/rows.jsonl", GOOD, REG))},
        rows=1,
        values={"text": "a good row", "label": "a"},
    ),
    "tar_cut": Hostile({"a.tar": cut(tarred(("rows.jsonl", GOOD * 99, REG)), 0.2)}, refused="damaged or cut short"),
    "tar_gz_cut": Hostile(
        {"a.tgz": cut(tarred(("r.jsonl", os.urandom(9999), REG), mode="w:gz"), 0.5)}, refused="damaged"
    ),
    "tar_bomb": Hostile({"a.tar.gz": tar_bomb}, refused=BOMB),
    "tar_bomb_of_headers": Hostile({"a.tar.gz": pax_bomb}, refused=BOMB),
    "gzip_bomb": Hostile({"rows.jsonl.gz": gzip_bomb}, refused=BOMB),
    "gzip_bomb_of_lines": Hostile({"rows.csv.gz": lines_bomb}, refused="nothing but blanks"),
    "xz_bomb": Hostile(
        {"rows.jsonl.xz": lambda path: path.write_bytes(lzma.compress(bytes(64 * 2**20), preset=0))}, refused=BOMB
    ),
    "bzip2_bomb": Hostile(
        {"rows.jsonl.bz2": lambda path: path.write_bytes(bz2.compress(bytes(64 * 2**20)))}, refused=BOMB
    ),
    "zstd_bomb": Hostile({"rows.jsonl.zst": zstd_bomb}, refused=BOMB),
    "gzip_twice": Hostile({"rows.jsonl.gz": gzip.compress(gzip.compress(GOOD))}, refused="compressed twice"),
    "gzip_called_jsonl": Hostile({"rows.jsonl": gzip.compress(GOOD)}, rows=1),
    "gzip_cut": Hostile({"rows.jsonl.gz": gzip.compress(GOOD * 999)[:-30]}, refused="damaged or cut short"),
}


# Workbooks --------------------------------------------------------------------------------------------

_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {after} "{f"&{before};" * 10}">' for before, after in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
HEAD = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>text</t></is></c><c r="B1" t="inlineStr"><is><t>label</t></is></c></row>'
)


def book(rows: str = "", **parts: str | bytes) -> Callable[[Path], None]:
    """A workbook of one sheet with these rows; `parts` take the place of files in it."""
    files: dict[str, str | bytes] = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/xl/workbook.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
        '<Override PartName="/xl/worksheets/sheet1.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
        '<Override PartName="/xl/sharedStrings.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>',
        "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {_MAIN} xmlns:r="{_RELATIONS}"><sheets>'
        '<sheet name="rows" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="r2" Type="{_RELATIONS}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/sharedStrings.xml": f"<sst {_MAIN}></sst>",
        "xl/worksheets/sheet1.xml": f'<worksheet {_MAIN}><dimension ref="A1:XFD1048576"/>'
        f"<sheetData>{HEAD}{rows}</sheetData></worksheet>",
    }
    for name, content in parts.items():
        (whole,) = (each for each in files if each.endswith(f"/{name}.xml"))
        files[whole] = content
    return zip_of([(name, each if isinstance(each, bytes) else each.encode()) for name, each in files.items()])


def cells(*values: str, row: int = 2) -> str:
    inside = "".join(
        f'<c r="{"ABCDEFG"[n]}{row}" t="inlineStr"><is><t>{value}</t></is></c>' for n, value in enumerate(values)
    )
    return f'<row r="{row}">{inside}</row>'


DECLARES = "declares XML entities"
WORKBOOKS = {
    "laughs_in_texts": Hostile(
        {"b.xlsx": book(sharedStrings=f"<?xml version='1.0'?>{_LAUGHS}<sst {_MAIN}><si><t>&i;</t></si></sst>")},
        refused=DECLARES,
    ),
    "laughs_in_the_sheet": Hostile(
        {"b.xlsx": book(sheet1=f"{_LAUGHS}<worksheet {_MAIN}>&i;</worksheet>")}, refused=DECLARES
    ),
    "laughs_in_utf16": Hostile(
        {
            "b.xlsx": book(
                sheet1=f"<?xml version='1.0' encoding='utf-16'?>{_LAUGHS}<worksheet>&i;</worksheet>".encode("utf-16")
            )
        },
        refused=DECLARES,
    ),
    "laughs_after_a_comment": Hostile(
        {"b.xlsx": book(workbook=f"<?xml version='1.0'?><!--{'x' * 99_999}-->{_LAUGHS}<workbook>&i;</workbook>")},
        refused=DECLARES,
    ),
    "entity_of_a_file": Hostile(
        {"b.xlsx": book(workbook="<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><workbook>&e;</workbook>")},
        refused=DECLARES,
    ),
    "formula_without_a_value": Hostile(
        {
            "b.xlsx": book(
                "<row r='2'><c r='A2'><f>cmd|'/C calc'!A0</f></c><c r='B2' t='inlineStr'><is><t>a</t></is></c></row>"
            )
        },
        rows=1,
        noted={"a formula without a saved value read as missing": 1},
        values={"text": None, "label": "a"},
    ),
    "formula_with_a_value": Hostile(
        {"b.xlsx": book("<row r='2'><c r='A2' t='str'><f>1+1</f><v>two</v></c><c r='B2'><f>1+1</f><v>2</v></c></row>")},
        rows=1,
        values={"text": "two", "label": 2},
    ),
    "formula_as_text": Hostile(
        {"b.xlsx": book(cells("=cmd|'/C calc'!A0", "a"))}, rows=1, values={"text": "=cmd|'/C calc'!A0", "label": "a"}
    ),
    "error_cells": Hostile(
        {
            "b.xlsx": book(
                "<row r='2'><c r='A2' t='e'><v>#REF!</v></c><c r='B2' t='inlineStr'><is><t>a</t></is></c></row>"
            )
        },
        rows=1,
        noted={"an error cell such as #N/A read as missing": 1},
        values={"text": None, "label": "a"},
    ),
    "workbook_bomb": Hostile(
        {"b.xlsx": book(sheet1=f"<worksheet {_MAIN}>".encode() + b" " * 100_000_000)}, refused=BOMB
    ),
    "cell_at_the_end_of_the_world": Hostile(
        {"b.xlsx": book(f"{cells('t', 'a')}<row r='1048576'><c r='XFD1048576'><v>1</v></c></row>")},
        rows=1,
        broken={"more values than columns": 1},
    ),
    "text_that_is_not_there": Hostile(
        {"b.xlsx": book("<row r='2'><c r='A2' t='s'><v>99</v></c></row>")}, refused="not a whole Excel workbook"
    ),
    "sheet_cut": Hostile(
        {"b.xlsx": book(sheet1=f"<worksheet {_MAIN}><sheetData>{HEAD}<row r='2'><c")},
        refused="not a whole Excel workbook",
    ),
    "workbook_cut": Hostile({"b.xlsx": cut(book(), 0.7)}, refused="damaged or cut short"),
    "workbook_that_is_text": Hostile({"b.xlsx": CSV}, refused="not a whole Excel workbook"),
    "document_called_workbook": Hostile(
        {"b.xlsx": zip_of([("[Content_Types].xml", b""), ("word/document.xml", b"")])}, refused="office program"
    ),
    "old_workbook": Hostile({"b.xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)}, refused="old Excel workbook"),
}


# Lines ------------------------------------------------------------------------------------------------


def giant_line(path: Path) -> None:
    with path.open("wb") as file:
        file.write(GOOD + b'{"text": "')
        for _ in range(200):
            file.write(b"x" * 2**20)
        file.write(b'"}\n' + GOOD)


def mixed(*pairs: tuple[str, str]) -> bytes:
    return b"".join(json.dumps({"text": text}, ensure_ascii=False).encode(name) + b"\n" for text, name in pairs)


def jsonl(content: bytes, **expected: Any) -> Hostile:
    return Hostile({"rows.jsonl": GOOD + content + b"\n" + GOOD}, **expected)


CP1252 = "bytes of another encoding (cp1252) read as what they are"
LINES = {
    "deep_line": jsonl(b"[" * 10**6, rows=2, broken={"JSON nested too deeply": 1}),
    "deep_file": Hostile({"rows.json": b"[" * 10**6 + b"]" * 10**6}, refused="nested too deeply"),
    "deep_text_of_a_column": jsonl(json.dumps({"text": "[" * 99_999 + "]" * 99_999}).encode(), rows=3),
    "key_twice": jsonl(b'{"text": "a", "text": "b"}', rows=2, broken={"a key stands twice in one object": 1}),
    "not_numbers": jsonl(b'{"text": NaN, "label": -Infinity}', rows=3),
    "number_of_a_million_digits": jsonl(
        b'{"text": ' + b"9" * 10**6 + b"}", rows=2, broken={"a number too long to read": 1}
    ),
    "number_beyond_floats": jsonl(b'{"text": 1e999999}', rows=3),
    "giant_line": Hostile({"rows.jsonl": giant_line}, rows=2, broken={"row longer than 8 MiB": 1}),
    "file_of_one_giant_line": Hostile(
        {"rows.csv": lambda path: path.write_bytes(b"x" * 50_000_000)}, broken={"value longer than 8 MiB": 1}
    ),
    "zeros": jsonl(bytes(10**6), rows=2),
    "zeros_in_a_line": jsonl(b'{"text": "a\x00b"}', rows=2, broken={"broken JSON": 1}),
    "half_a_character": jsonl(b'{"text": "\\ud800"}', rows=3),
    "text_written_backwards": jsonl('{"text": "\u202eevil\u202c\u2066"}'.encode(), rows=3),
    "mark_in_the_middle": jsonl(
        b"\xef\xbb\xbf" + GOOD, rows=3, noted={"a byte order mark inside of the file left out": 1}
    ),
    "mixed_encodings": Hostile(
        {"rows.jsonl": mixed(("schön", "utf-8"), ("Größe – “gut”", "cp1252"), ("日本", "utf-8"), ("café", "cp1252"))},
        rows=4,
        noted={CP1252: 2},
        values={"text": "schön"},
    ),
    "letter_cut_in_two": jsonl(b'{"text": "sch\xc3\xb6n \xe2\x80"}', rows=2, broken={NOT_ITS: 1}),
    "bytes_of_nothing": jsonl(b'{"text": "\xff\xfe\x81\x8d"}', rows=2, broken={NOT_ITS: 1}),
    "utf16_of_odd_length": Hostile(
        {"rows.jsonl": GOOD.decode().encode("utf-16") + b"\x00"}, rows=1, broken={"broken JSON": 1}
    ),
    "overlong_utf8": jsonl(b'{"text": "\xc0\xaf"}', rows=2, broken={NOT_ITS: 1}),
    "only_carriage_returns": Hostile({"rows.jsonl": GOOD.replace(b"\n", b"\r") * 3}, rows=3),
    "program_as_rows": Hostile({"rows.jsonl": b"\x7fELF" + bytes(500)}, refused="is a program"),
    "pickle_as_rows": Hostile({"rows.csv": b"\x80\x04\x95" + bytes(50)}, refused="is a pickle"),
    "picture_as_rows": Hostile({"rows.csv": b"\x89PNG\r\n" + bytes(50)}, refused="is a picture"),
    "noise_as_text": Hostile({"rows.jsonl": bytes(range(128, 256)) * 50}, broken={NOT_ITS: 1}),
    "quotes_that_never_close": Hostile(
        {"rows.csv": CSV + b'"open,b\n' + b"plain,b\n" * 20_000}, rows=20_001, broken={"quotes that do not match": 1}
    ),
    "quotes_that_close_late": Hostile(
        {"rows.csv": CSV + b'"open,b\nplain,b\n' * 5_000}, rows=5_001, broken={"quotes that do not match": 5_000}
    ),
    "quotes_of_quotes": Hostile(
        {"rows.csv": CSV + b'"' * 200_001 + b"\n" + b"x,b\n"}, rows=2, broken={"quotes that do not match": 1}
    ),
    "formula_in_csv": Hostile(
        {"rows.csv": b"text,label\n\"=cmd|'/C calc'!A0\",a\n"},
        rows=1,
        values={"text": "=cmd|'/C calc'!A0", "label": "a"},
    ),
    "zeros_in_csv": Hostile({"rows.csv": CSV + b"nul\x00byte,a\n"}, rows=2),
    "hundred_thousand_columns": Hostile(
        {"rows.csv": b",".join(b"c%d" % n for n in range(10**5)) + b"\nx\n"}, broken={"fewer values than columns": 1}
    ),
    "ragged_csv": Hostile(
        {"rows.csv": CSV + b"a\na,b,c\n"},
        rows=1,
        broken={"fewer values than columns": 1, "more values than columns": 1},
    ),
}


# Tables and databases ---------------------------------------------------------------------------------


def table(path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"text": "a", "label": "b"}] * 99), path)


def patched(make: Callable[[Path], Any], at: int, content: bytes) -> Callable[[Path], None]:
    def patch(path: Path) -> None:
        make(path)
        raw = bytearray(path.read_bytes())
        raw[at : at + len(content)] = content
        path.write_bytes(bytes(raw))

    return patch


def database(*statements: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE rows (text, label)")
        connection.execute("INSERT INTO rows VALUES ('a good row', 'a')")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return make


def sql(refused: str, *statements: str, **settings: str) -> Hostile:
    source = {"path": "rows.db", "format": {"kind": "sql", **settings}}
    return Hostile({"rows.db": database(*statements)}, source, refused=refused)


WHOLE = "not a whole Parquet file"
TABLES = {
    "parquet_cut": Hostile({"r.parquet": cut(table, 0.6)}, refused=WHOLE),
    "parquet_of_a_giant_footer": Hostile({"r.parquet": patched(table, -8, b"\xff\xff\xff\x7f")}, refused=WHOLE),
    "parquet_with_a_torn_footer": Hostile({"r.parquet": patched(table, -60, bytes(40))}, refused=WHOLE),
    "parquet_with_torn_pages": Hostile({"r.parquet": patched(table, 4, b"\xff" * 60)}, refused=WHOLE),
    "parquet_of_magic_alone": Hostile({"r.parquet": b"PAR1" + bytes(20) + b"PAR1"}, refused=WHOLE),
    "table_that_drops": sql("has no table 'rows; DROP TABLE rows'", table="rows; DROP TABLE rows"),
    "table_with_quotes": sql("has no table", table='rows" UNION SELECT * FROM sqlite_master --'),
    "table_of_the_schema": sql("has no table 'sqlite_master'", table="sqlite_master"),
    "view_in_circles": sql(
        "does more than read tables",
        "CREATE VIEW bad AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
        table="bad",
    ),
    "query_that_loads_code": sql("does more than read tables", query="SELECT load_extension('/tmp/evil.so')"),
    "query_of_a_gigabyte": sql("cannot be read", query="SELECT zeroblob(1000000000) AS text"),
    "query_of_two": sql("several statements", query="SELECT 1; DROP TABLE rows"),
    "query_that_deletes": sql("is no SELECT", query="DELETE FROM rows"),
    "query_that_deletes_inside": sql("holds DELETE", query="WITH x AS (DELETE FROM rows RETURNING *) SELECT * FROM x"),
    "query_behind_a_comment": sql("is no SELECT", query="/* SELECT */ DROP TABLE rows"),
    "database_of_noise": Hostile({"rows.db": b"SQLite format 3\x00" + os.urandom(4000)}, refused="cannot be read"),
    "database_cut": Hostile(
        {"rows.db": cut(database("CREATE TABLE more AS SELECT * FROM rows"), 0.4)}, refused="rows.db"
    ),
    "texts_that_are_no_text": Hostile(
        {"rows.db": database("INSERT INTO rows VALUES (CAST(x'ff80' AS TEXT), x'00ff')")}, rows=2
    ),
}


# Places and documents ---------------------------------------------------------------------------------


def pdf(*objects: str, more: bytes = b"") -> bytes:
    body, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n".encode() + each.encode("latin-1") + b"\nendobj\n"
    table_at = len(body)
    body += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    body += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table_at}\n%%EOF".encode()
    return body + more + trailer


CATALOG = "<< /Type /Catalog /Pages 2 0 R >>"
PAGE = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>"
FONT = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def stream(content: bytes, extra: str = "") -> str:
    return f"<< /Length {len(content)} {extra}>>\nstream\n{content.decode('latin-1')}\nendstream"


def pdf_of(content: bytes, extra: str = "") -> bytes:
    return pdf(CATALOG, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", PAGE, stream(content, extra), FONT)


def encrypted_pdf(path: Path) -> None:
    import pypdf

    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf_of(b"BT /F 9 Tf (secret) Tj ET")))
    writer.encrypt("password", algorithm="RC4-128")
    with path.open("wb") as file:
        writer.write(file)


def linked(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def docs(**files: Make) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        for name, content in files.items():
            place = path / name.replace("_", ".", 1)
            if callable(content):
                content(place)
            else:
                place.write_bytes(content)

    return make


def deep_folder(path: Path) -> None:
    path.mkdir()
    here = Path.cwd()
    os.chdir(path)
    for _ in range(300):
        Path("d" * 10).mkdir()
        os.chdir("d" * 10)
    Path("a.txt").write_text("at the bottom")
    os.chdir(here)


DAMAGED = {"a damaged PDF": 1}
PLACES = {
    "link_to_endless_zeros": Hostile({"rows.jsonl": linked("/dev/zero")}, refused="neither a file nor a folder"),
    "link_to_noise": Hostile({"rows.jsonl": linked("/dev/urandom")}, refused="neither a file nor a folder"),
    "link_to_itself": Hostile({"rows.jsonl": linked("rows.jsonl")}, refused="cannot be looked at"),
    "link_to_nothing": Hostile({"rows.jsonl": linked("gone.jsonl")}, refused="does not exist"),
    "link_to_memory": Hostile({"rows.jsonl": linked("/proc/self/mem")}, refused="is empty"),
    "pipe": Hostile({"rows.jsonl": os.mkfifo}, refused="neither a file nor a folder"),
    "pipe_in_a_pattern": Hostile({"rows.jsonl": os.mkfifo}, "*.jsonl", refused="no file matches"),
    "name_of_zeros": Hostile({}, "rows\x00.jsonl", refused="cannot be looked at"),
    "name_too_long": Hostile({}, "x" * 5000, refused="cannot be looked at"),
    "pattern_of_patterns": Hostile({}, "[" * 50 + "*" * 50, refused="no file matches"),
    "password_in_the_url": Hostile({}, "postgresql://me:secret@host/db", refused="holds a password"),
    "folder_of_links_out": Hostile(
        {"d": docs(a_txt=b"words", b_txt=linked("/etc/passwd"), c_txt=linked("/dev/zero"))}, rows=1
    ),
    "folder_linked_to_the_root": Hostile({"d": docs(a_txt=b"words", root=linked("/"))}, rows=1),
    "folder_of_pipes": Hostile({"d": docs(a_txt=b"words", b_txt=os.mkfifo)}, rows=1),
    "folder_of_nothing": Hostile({"d": docs()}, refused="folder without documents"),
    "folder_three_hundred_deep": Hostile({"d": deep_folder}, rows=1),
    "tags_in_tags": Hostile(
        {"a.html": b"<div>" * 100_000 + b"words" + b"</div>" * 100_000}, rows=1, values={"text": "words", "title": "a"}
    ),
    "tags_left_open": Hostile({"a.html": b"words" + b"<a " * 200_000}, rows=1),
    "comments_left_open": Hostile(
        {"a.html": b"words" + b"<!--" * 200_000}, rows=1, values={"text": "words", "title": "a"}
    ),
    "declarations_left_open": Hostile(
        {"a.html": b"words" + b"<![" * 200_000}, broken={"markup that cannot be read": 1}
    ),
    "attributes_left_open": Hostile({"a.html": b"words" + b"<a b='" * 100_001}, rows=1),
    "page_of_scripts": Hostile(
        {"a.html": b"<script>" + b"x()" * 99 + b"</script>"}, broken={"a document without text": 1}
    ),
    "entities_of_html": Hostile({"a.html": b"&#x1F600;&#xD800;&#99999999999;&notanentity;"}, rows=1),
    "pdf_encrypted": Hostile({"a.pdf": encrypted_pdf}, broken={"an encrypted PDF": 1}),
    "pdf_cut": Hostile({"a.pdf": pdf_of(b"BT /F 9 Tf (words) Tj ET")[:120]}, broken=DAMAGED),
    "pdf_of_noise": Hostile({"a.pdf": b"%PDF-1.7\n" + bytes(range(256)) * 40}, broken=DAMAGED),
    "pdf_in_circles": Hostile({"a.pdf": pdf(CATALOG, "<< /Type /Pages /Kids [2 0 R] /Count 1 >>")}, broken=DAMAGED),
    "pdf_bomb": Hostile(
        {"a.pdf": lambda path: path.write_bytes(pdf_of(_deflated(100 * 2**20), "/Filter /FlateDecode "))},
        broken=DAMAGED,
    ),
    "pdf_without_text": Hostile({"a.pdf": pdf_of(b"")}, broken={"a PDF without text (pictures of pages?)": 1}),
}


def _deflated(size: int) -> bytes:
    import zlib

    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(b" " * 2**20) for _ in range(size // 2**20)), packer.flush()])


HOSTILE = {**ARCHIVES, **WORKBOOKS, **LINES, **TABLES, **PLACES}


def came_of(case: Hostile, folder: Path) -> dict[str, Any]:
    """Writes and reads one case: what was refused, or what was read, and how long it took."""
    from tunesmith.data.read.find import read
    from tunesmith.data.readers import Row
    from tunesmith.errors import Error
    from tunesmith.spec.sections import Source

    folder.mkdir(parents=True)
    for name, content in case.files.items():
        if callable(content):
            content(folder / name)
        else:
            (folder / name).write_bytes(content)
    said = case.source or next(iter(case.files))
    start = time.process_time()
    found: dict[str, Any] = {"refused": "", "broken": Counter(), "rows": 0, "noted": Counter(), "values": None}
    try:
        source = Source.model_validate_json(json.dumps(said if isinstance(said, dict) else {"path": said}))
        for row in read(source, folder):
            if isinstance(row, Row):
                found["values"] = found["values"] or {
                    key: str(value)[:50] for key, value in list(row.values.items())[:9]
                }
                found["rows"] += 1
                found["noted"].update(row.notes)
            else:
                found["broken"][row.reason] += 1
    except Error as error:
        found["refused"], found["fix"] = str(error), getattr(error, "fix", "")
    except ValueError as error:  # a spec that is wrong, as pydantic says it
        found["refused"], found["fix"] = str(error), "named by `tunesmith check`"
    return {**found, "seconds": time.process_time() - start}


def main(folder: Path) -> None:
    """Reads all of them in this process, under limits."""

    def late(*_: object) -> None:
        raise RuntimeError("took too long")

    from tunesmith.data.read.places import archives, limits

    limits.FREE_BYTES, archives.MAX_MEMBERS = 2**25, 500  # so that bombs can be small
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, late)
    for name, case in HOSTILE.items():
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            came = came_of(case, folder / name)
        except BaseException as error:
            came = {"raised": f"{type(error).__name__}: {error}"[:300]}
        signal.setitimer(signal.ITIMER_PROF, 0)
        peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
        print(json.dumps({"name": name, "peak": peak, **came}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
