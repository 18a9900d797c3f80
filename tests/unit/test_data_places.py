"""Archives, workbooks, folders of documents, databases, the web and object stores give the rows they hold."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import sqlite3
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import fsspec
import openpyxl
import pyarrow
import pytest
from tests.bad_inputs.hostile import pdf_of

from tunesmith.data.passes.workshop import Workshop
from tunesmith.data.prepare import collect
from tunesmith.data.read.find import File, find
from tunesmith.data.read.places import limits
from tunesmith.data.readers import Row, Stretch
from tunesmith.data.readers._html import html_text
from tunesmith.data.readers.jsonl import JsonLines
from tunesmith.data.readers.sql import refuse_other_than_select
from tunesmith.errors import DataError, MissingDependency, SpecError
from tunesmith.runs import file_digest
from tunesmith.spec.load import parse
from tunesmith.spec.sections import Data, Source

ROWS = [{"text": f"schön {n}", "label": "ab"[n % 2]} for n in range(20)]
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def source(path: str, **settings: Any) -> Source:
    return Source.model_validate_json(json.dumps({"path": path, **({"format": settings} if settings else {})}))


def values(files: list[File]) -> list[dict[str, Any]]:
    return [row.values for file in files for row in file.rows() if isinstance(row, Row)]


# Archives


def test_the_data_files_of_a_zip_archive_are_read_and_the_others_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/more.jsonl", JSONL)
        archive.writestr("a.csv", "text,label\nx,a\n")
        archive.writestr("packed.jsonl.gz", gzip.compress(JSONL))
        archive.writestr("README.txt", "about the rows")
        archive.writestr("__MACOSX/a.csv", "junk")
        archive.writestr("empty.csv", "")
    files = find(source("all.zip"), tmp_path)
    assert [file.shown for file in files] == ["all.zip/a.csv", "all.zip/b/more.jsonl", "all.zip/packed.jsonl.gz"]
    assert [file.format for file in files] == ["csv in zip", "jsonl in zip", "jsonl in zip"]
    assert values(files) == [{"text": "x", "label": "a"}, *ROWS, *ROWS]
    assert (
        files[0].notes == ("all.zip: 3 in it not read: README.txt, __MACOSX/a.csv, empty.csv",)
        or "3 in it" in files[0].notes[0]
    )
    assert next(iter(files[1].rows())).where == "all.zip/b/more.jsonl:1"
    (tmp_path / "same.jsonl").write_bytes(JSONL)
    said = files[1].described(tmp_path)
    assert said == {"path": "all.zip/b/more.jsonl", "sha256": file_digest(tmp_path / "same.jsonl"), "bytes": len(JSONL)}


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"])
def test_tar_archives(ending: str, tmp_path: Path) -> None:
    raw = io.BytesIO()
    mode = {".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}.get(ending, "w")
    with tarfile.open(fileobj=raw, mode=mode) as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo("set/rows.jsonl")
        info.size = len(JSONL)
        archive.addfile(info, io.BytesIO(JSONL))
    path = tmp_path / f"rows{ending}"
    if ending == ".tar.zst":
        with pyarrow.output_stream(str(path), compression="zstd") as file:
            file.write(raw.getvalue())
    else:
        path.write_bytes(raw.getvalue())
    (found,) = find(source(path.name), tmp_path)
    assert (found.shown, found.format) == (f"rows{ending}/set/rows.jsonl", "jsonl in tar")
    assert values([found]) == ROWS


def test_a_full_disk_is_refused_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.jsonl", JSONL)
    monkeypatch.setattr(limits, "KEPT_FREE", 2**60)
    with pytest.raises(DataError, match="needs more room") as caught:
        find(source("all.zip"), tmp_path)
    assert "TMPDIR" in caught.value.fix


# Workbooks


def workbook(path: Path, *sheets: str) -> None:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name in sheets:
        sheet = book.create_sheet(name)
        sheet.append([])
        sheet.append(["text", "label", "when", "price"])
        sheet.append([f"{name} one", "a", datetime.datetime(2026, 1, 2, 3), 1.5])
        sheet.append([])
        sheet.append([f"{name} two", "b", datetime.date(2026, 1, 2), 2])
        sheet.append(["three", None, None, None])
    book.save(path)


def test_a_sheet_of_a_workbook(tmp_path: Path) -> None:
    workbook(tmp_path / "b.xlsx", "data")
    (file,) = find(source("b.xlsx"), tmp_path)
    assert (file.format, file.encoding) == ("excel", "")
    rows = list(file.rows())
    assert [row.where for row in rows] == ["b.xlsx:3", "b.xlsx:5", "b.xlsx:6"]
    assert values([file]) == [
        {"text": "data one", "label": "a", "when": "2026-01-02T03:00:00", "price": 1.5},
        {"text": "data two", "label": "b", "when": "2026-01-02T00:00:00", "price": 2},
        {"text": "three", "label": None, "when": None, "price": None},
    ]
    named = source("b.xlsx", kind="excel", columns=["one", "two", "three", "four"])
    assert values(find(named, tmp_path))[0]["one"] == "text"


def test_of_several_sheets_one_has_to_be_named(tmp_path: Path) -> None:
    workbook(tmp_path / "b.xlsx", "first", "second")
    with pytest.raises(DataError, match="has 2 sheets: 'first', 'second'") as caught:
        values(find(source("b.xlsx"), tmp_path))
    assert "sheet: first" in caught.value.fix
    assert values(find(source("b.xlsx", kind="excel", sheet="second"), tmp_path))[0]["text"] == "second one"
    with pytest.raises(DataError, match=r"no sheet 'secnd' \(did you mean 'second'\?\)"):
        values(find(source("b.xlsx", kind="excel", sheet="secnd"), tmp_path))


@pytest.mark.parametrize(
    ("package", "extra", "name"), [("openpyxl", "excel", "b.xlsx"), ("pypdf", "documents", "a.pdf")]
)
def test_a_package_that_is_missing_is_named(
    package: str, extra: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "b.xlsx":
        workbook(tmp_path / name, "data")
    else:
        (tmp_path / name).write_bytes(pdf_of(b""))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependency, match=rf"tunesmith\[{extra}\]"):
        values(find(source(name), tmp_path))


# Documents


def test_a_folder_of_documents_is_one_row_a_document(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "sub" / ".git").mkdir(parents=True)
    (folder / "a.md").write_text("# The title\n\nSome words.\n", "utf-8")
    (folder / "sub" / "b.html").write_text("<title>B &amp; co</title><p>One</p><p>two</p>", "utf-8")
    (folder / "c.pdf").write_bytes(pdf_of(b"BT /F 9 Tf (words of a PDF) Tj ET"))
    (folder / "d.txt").write_bytes("schöne Grüße".encode("cp1252"))
    (folder / "sub" / ".git" / "hidden.txt").write_text("x")
    (folder / ".hidden.md").write_text("x")
    (folder / "rows.csv").write_text("x")
    (folder / "out.txt").symlink_to(tmp_path / "elsewhere.txt")
    (folder / "in.md").symlink_to(folder / "a.md")
    (tmp_path / "elsewhere.txt").write_text("not ours")
    files = find(source("docs"), tmp_path)
    assert values(files) == [
        {"path": "a.md", "text": "# The title\n\nSome words.", "title": "The title"},
        {"path": "c.pdf", "text": "words of a PDF", "title": "c"},
        {"path": "d.txt", "text": "schöne Grüße", "title": "d"},
        {"path": "in.md", "text": "# The title\n\nSome words.", "title": "The title"},
        {"path": "sub/b.html", "text": "One\n\ntwo", "title": "B & co"},
    ]
    assert files[0].notes == (
        "docs: not read: 2 hidden, 1 linked from outside of the folder, 1 of other formats (.csv)",
    )
    assert next(iter(files[-1].rows())).where == "docs/sub/b.html:1"
    data = Data(sources=[source("docs")], split={"train": 1, "validation": 0, "test": 0})  # type: ignore[arg-type]
    collected = collect(data, shop=Workshop(folder=tmp_path))
    assert files[0].notes[0] in collected.said
    assert collected.survey.shape == "text"


def test_a_folder_of_tables_is_refused_with_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.csv").write_text("x")
    with pytest.raises(DataError, match="folder without documents") as caught:
        find(source("parts"), tmp_path)
    assert "parts/*.csv" in caught.value.fix


@pytest.mark.parametrize(
    ("markup", "text", "title"),
    [
        ("<h1>Head <b>line</b></h1><p>a&nbsp;b&lt;c<br>d</p>", "Head line\n\na b<c\nd", "Head line"),
        ("<style>x{}</style><script>if (a<b) y()</script>words", "words", ""),
        ("<ul><li>one<li>two</ul>", "one\ntwo", ""),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a\n\nb", ""),
        ("left open <a href='x", "left open", ""),
        ("left open <!-- and so on", "left open", ""),
        ("ends with a quote \"'", "ends with a quote \"'", ""),
    ],
)
def test_html_becomes_what_a_reader_sees(markup: str, text: str, title: str) -> None:
    assert html_text(markup) == (text, title)


# Databases


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE tickets (id INTEGER, text TEXT, label TEXT, price REAL, raw BLOB)")
    connection.executemany(
        "INSERT INTO tickets VALUES (?, ?, ?, ?, ?)",
        [(n, row["text"], row["label"], n + 0.5, b"\x00\xff") for n, row in enumerate(ROWS)],
    )
    connection.execute("CREATE TABLE other (x)")
    connection.commit()
    connection.close()
    return path


def test_a_table_and_a_query(database: Path) -> None:
    folder = database.parent
    (file,) = find(source("shop.db", kind="sql", table="tickets"), folder)
    assert (file.shown, file.format) == ("shop.db", "sql")
    assert values([file])[3] == {"id": 3, "text": "schön 3", "label": "b", "price": 3.5, "raw": {"base64": "AP8="}}
    query = "SELECT text, label FROM tickets WHERE label = 'a' AND text NOT LIKE '%: x' ORDER BY id DESC;"
    files = find(source("sqlite:///shop.db", kind="sql", query=query), folder)
    assert values(files) == [row for row in ROWS if row["label"] == "a"][::-1]
    assert next(iter(files[0].rows())).where == "sqlite:///shop.db:1"


def test_the_rows_are_the_identity_and_stay_the_same_until_asked_anew(database: Path) -> None:
    folder, said = database.parent, source("shop.db", kind="sql", table="tickets")
    (before,) = find(said, folder)
    digest = before.described(folder)
    assert digest["path"] == "shop.db"
    connection = sqlite3.connect(database)
    connection.execute("UPDATE tickets SET text = 'changed' WHERE id = 1")
    connection.commit()
    connection.close()
    (same,) = find(said, folder)
    assert same.described(folder) == digest
    (after,) = find(said, folder, fresh=True)
    assert after.described(folder)["sha256"] != digest["sha256"]
    assert values([after])[1]["text"] == "changed"
    other = source("shop.db", kind="sql", query="SELECT text FROM tickets")
    assert find(other, folder)[0].described(folder)["sha256"] != digest["sha256"]


def test_of_several_tables_one_has_to_be_named(database: Path) -> None:
    with pytest.raises(DataError, match="has 2 tables") as caught:
        find(source("shop.db"), database.parent)
    assert "other, tickets" in caught.value.fix
    with pytest.raises(DataError, match=r"no table 'ticket' \(did you mean 'tickets'\?\)"):
        find(source("shop.db", kind="sql", table="ticket"), database.parent)
    with pytest.raises(DataError, match="finds no row"):
        find(source("shop.db", kind="sql", table="other"), database.parent)
    with pytest.raises(DataError, match="does not exist"):
        find(source("sqlite:///shp.db", kind="sql", table="x"), database.parent)
    with pytest.raises(DataError, match="is a database, which 'csv' does not read"):
        find(source("sqlite:///shop.db", kind="csv"), database.parent)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "  with a as (select 1) select * from a ;",
        "SELECT ';', 'drop table x', \"delete\" FROM t -- insert into",
        "SELECT replace(text, 'a', 'b') FROM t /* ; */",
        "SELECT deleted, updated_at FROM t",
    ],
)
def test_one_select_is_let_through(query: str) -> None:
    refuse_other_than_select(query)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "DROP TABLE t",
        "SELECT 1; SELECT 2",
        "EXPLAIN SELECT 1",
        "PRAGMA x",
        "SELECT * INTO n FROM t",
        "ATTACH 'x' AS y",
    ],
)
def test_everything_else_is_not(query: str) -> None:
    with pytest.raises(ValueError, match="write one SELECT"):
        refuse_other_than_select(query)


def test_a_password_comes_from_the_environment_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for path in (
        "postgresql://me:hunter2@host/db",
        "https://me:hunter2@host/x.csv",
        "mysql://host/db?password=hunter2",
    ):
        with pytest.raises(SpecError, match="holds a password") as caught:
            parse(json.dumps({"name": "x", "data": {"sources": [path]}}), "x.json")
        assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2")
    said = source("postgresql+psycopg://me@127.0.0.1:9/db", kind="sql", table="t", password_from="SHOP_PASSWORD")
    with pytest.raises((DataError, MissingDependency)) as failed:
        find(said, tmp_path)
    assert "hunter2" not in str(failed.value)
    assert "me@" not in str(failed.value)


def test_without_the_driver_the_pip_line_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingDependency, match=r"tunesmith\[postgres\]"):
        find(source("postgresql+psycopg://me@127.0.0.1:9/db", kind="sql", table="t"), tmp_path)


# The web and object stores


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        pages = {"/rows.jsonl": JSONL, "/rows.jsonl.gz": gzip.compress(JSONL), "/empty.csv": b""}
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            return
        content = pages.get(self.path.partition("?")[0])
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_files_of_the_web(site: str, tmp_path: Path) -> None:
    for name in ("rows.jsonl", "rows.jsonl.gz", "rows.jsonl?token=geheim"):
        (file,) = find(source(f"{site}/{name}"), tmp_path)
        assert values([file]) == ROWS
        assert file.shown == f"{site}/{name.partition('?')[0]}"
        assert next(iter(file.rows())).where == f"{file.shown}:1"
    with pytest.raises(DataError, match="answers 404"):
        find(source(f"{site}/none.csv"), tmp_path)
    with pytest.raises(DataError, match="cannot be fetched"):
        find(source(f"{site}/away"), tmp_path)
    with pytest.raises(DataError, match="is empty"):
        find(source(f"{site}/empty.csv"), tmp_path)


def test_files_of_object_stores(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/b.jsonl", JSONL)
    store.pipe("/bucket/a.csv", b"text,label\nx,a\n")
    files = find(source("memory://bucket/*"), tmp_path)
    assert [file.shown for file in files] == ["memory:///bucket/a.csv", "memory:///bucket/b.jsonl"]
    assert values(files) == [{"text": "x", "label": "a"}, *ROWS]
    digest = find(source("memory://bucket/b.jsonl"), tmp_path)[0].described(tmp_path)
    store.pipe("/bucket/b.jsonl", JSONL * 2)
    assert find(source("memory://bucket/b.jsonl"), tmp_path)[0].described(tmp_path) == digest
    assert len(values(find(source("memory://bucket/b.jsonl"), tmp_path, fresh=True))) == 40
    for name, what in (("none.csv", "cannot be fetched"), ("*.none", "no file matches")):
        with pytest.raises(DataError, match=what):
            find(source(f"memory://bucket/{name}"), tmp_path)


def test_a_store_without_its_package_gives_the_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"tunesmith\[s3\]"):
        find(source("s3://bucket/rows.csv"), tmp_path)


def test_an_address_of_a_local_file(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(JSONL)
    assert values(find(source(f"file://{tmp_path}/rows.jsonl"), tmp_path)) == ROWS


# Stretches of a file


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("size", [1, 50, 700, 10**9])
def test_the_rows_of_all_stretches_are_those_of_the_file(end: str, size: int, tmp_path: Path) -> None:
    lines = [json.dumps({"text": "x" * (n % 40), "n": n}) for n in range(200)]
    lines[7] = "broken"
    lines[8:11] = ["", "", ""]
    (tmp_path / "rows.jsonl").write_bytes(end.join(lines).encode())
    (file,) = find(source("rows.jsonl"), tmp_path)
    stretches = file.stretches(size)
    assert (len(stretches) == 1) == (size == 10**9)
    assert [row for stretch in stretches for row in file.rows(stretch)] == list(file.rows())
    assert stretches[0].start == 0
    assert stretches[-1].end == (tmp_path / "rows.jsonl").stat().st_size


def test_what_cannot_be_cut_is_read_in_one_piece(tmp_path: Path) -> None:
    reader = JsonLines()
    for name, content in {
        "a": gzip.compress(JSONL),
        "b": JSONL.replace(b"\n", b"\r"),
        "c": JSONL.decode().encode("utf-16"),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert reader.stretches(tmp_path / name, 10) == []
    (tmp_path / "d").write_bytes(b"\xef\xbb\xbf" + JSONL)
    found = [row for each in reader.stretches(tmp_path / "d", 99) for row in reader.rows_of(tmp_path / "d", each)]
    assert found == list(reader.rows(tmp_path / "d"))
    assert isinstance(reader.stretches(tmp_path / "d", 99)[0], Stretch)
