"""Every format and every way a file can be broken: rows, counted broken rows, or one error that says what to do."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys
import types
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tunesmith.data.read.find import find, read
from tunesmith.data.readers import MAX_ROW_BYTES, Broken, Row
from tunesmith.errors import DataError, MissingDependency
from tunesmith.spec.sections import Source

ROWS = [{"text": "schön, 日本", "label": "a"}, {"text": "zwei\nZeilen", "label": "b"}]
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def write(folder: Path, name: str, content: str | bytes, encoding: str = "utf-8") -> Source:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return Source(path=name)


def rows(source: Source, folder: Path) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    found = list(read(source, folder))
    good = [each.values for each in found if isinstance(each, Row)]
    return good, [(each.where, each.reason) for each in found if isinstance(each, Broken)]


FORMATS = {
    "rows.jsonl": JSONL,
    "rows.ndjson": JSONL.replace("\n", "\r\n"),
    "rows.json": json.dumps(ROWS, indent=2, ensure_ascii=False),
    "nested.json": json.dumps({"version": 1, "data": ROWS}),
    "lines.json": JSONL,
    "list.jsonl": json.dumps(ROWS),
    "rows.csv": 'text,label\n"schön, 日本",a\n"zwei\nZeilen",b\n',
    "semicolons.csv": 'text;label\r\nschön, 日本;a\r\n"zwei\nZeilen";b\r\n',
    "rows.tsv": 'label\ttext\na\tschön, 日本\nb\t"zwei\nZeilen"\n',
    "no_ending": JSONL,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_text_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    assert rows(write(tmp_path, name, FORMATS[name]), tmp_path) == (ROWS, [])


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    assert rows(Source(path="rows.parquet"), tmp_path) == (ROWS, [])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.json"])
def test_encodings_are_found(tmp_path: Path, name: str, encoding: str) -> None:
    assert rows(write(tmp_path, name, FORMATS[name], encoding), tmp_path) == (ROWS, [])


def test_one_byte_encodings_are_found_and_said(tmp_path: Path) -> None:
    source = write(tmp_path, "rows.csv", "text,label\nschön – “gut”,a\n", "cp1252")
    assert rows(source, tmp_path) == ([{"text": "schön – “gut”", "label": "a"}], [])
    assert find(source, tmp_path)[0].encoding == "cp1252 (59% sure)"


@pytest.mark.parametrize("opener", [gzip.compress, lzma.compress, bz2.compress])
def test_compression_is_found_by_its_first_bytes(tmp_path: Path, opener: Any) -> None:
    for name in ("rows.jsonl", "rows.jsonl.gz"):
        assert rows(write(tmp_path, name, opener(JSONL.encode())), tmp_path) == (ROWS, [])


def test_zstd(tmp_path: Path) -> None:
    with pyarrow.output_stream(tmp_path / "rows.jsonl.zst", compression="zstd") as file:
        file.write(JSONL.encode())
    assert rows(Source(path="rows.jsonl.zst"), tmp_path) == (ROWS, [])


DEEP = "[" * 100_000 + "]" * 100_000
BROKEN_LINES = {
    "broken JSON": b'{"text": "a", "label"}',
    "not a JSON object": b"[1, 2]",
    "a key stands twice in one object": b'{"text": "a", "text": "b"}',
    "JSON nested too deeply": b'{"text": ' + DEEP.encode() + b"}",
    "a number too long to read": b'{"text": ' + b"9" * 5000 + b"}",
    "bytes that are not of the file's encoding": b'{"text": "\xff\xfe"}',
}


@pytest.mark.parametrize("reason", BROKEN_LINES)
def test_a_broken_line_is_counted_where_it_stands(tmp_path: Path, reason: str) -> None:
    content = '{"text": "é"}\n'.encode() + BROKEN_LINES[reason] + b'\n\n{"text": "good"}\n'
    assert rows(write(tmp_path, "rows.jsonl", content), tmp_path) == (
        [{"text": "é"}, {"text": "good"}],
        [("rows.jsonl:2", reason)],
    )


def test_a_row_above_the_limit_is_counted_and_the_next_one_read(tmp_path: Path) -> None:
    content = '{"text": "' + "x" * (MAX_ROW_BYTES + 5) + '"}\n{"text": "good"}\n'
    assert rows(write(tmp_path, "rows.jsonl", content), tmp_path) == (
        [{"text": "good"}],
        [("rows.jsonl:1", "row longer than 8 MiB")],
    )


CSV_BREAKS = {
    "fewer values than columns": "only one\n",
    "more values than columns": "one,two,three\n",
    "quotes that do not match": '"a"b,c\n',
}


@pytest.mark.parametrize("reason", CSV_BREAKS)
def test_ragged_csv_rows_are_counted(tmp_path: Path, reason: str) -> None:
    content = "text,label\nfirst,a\n" + CSV_BREAKS[reason] + "last,b\n"
    good, bad = rows(write(tmp_path, "rows.csv", content), tmp_path)
    assert [row["text"] for row in good] == ["first", "last"]
    assert bad == [("rows.csv:3", reason)]


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    many = "".join(f"row {n},a\n" for n in range(500))
    content = 'text,label\nfirst,a\n"never closed,b\n' + many + '"two\nlines",c\n'
    good, bad = rows(write(tmp_path, "rows.csv", content), tmp_path)
    assert [row["text"] for row in good] == ["first", *(f"row {n}" for n in range(500)), "two\nlines"]
    assert bad == [("rows.csv:3", "quotes that do not match")]


def test_a_csv_value_above_the_limit_is_counted(tmp_path: Path) -> None:
    content = f"text,label\n{'x' * (MAX_ROW_BYTES + 5)},a\nlast,b\n"
    good, bad = rows(write(tmp_path, "rows.csv", content), tmp_path)
    assert (good, bad) == ([{"text": "last", "label": "b"}], [("rows.csv:2", "value longer than 8 MiB")])


def test_empty_csv_values_are_missing_and_settings_work(tmp_path: Path) -> None:
    source = write(tmp_path, "rows.csv", "good|a\n|b\n")
    given = Source(path=source.path, format={"kind": "csv", "delimiter": "|", "columns": ["text", "label"]})
    assert rows(given, tmp_path)[0] == [{"text": "good", "label": "a"}, {"text": None, "label": "b"}]


def test_quotes_of_a_tsv_are_letters_unless_they_wrap_values(tmp_path: Path) -> None:
    source = write(tmp_path, "rows.tsv", 'text\tlabel\nsay "hi\ta\n"x" or "y"\tb\n')
    assert [row["text"] for row in rows(source, tmp_path)[0]] == ['say "hi', '"x" or "y"']
    given = Source(path=write(tmp_path, "quoted.tsv", 'text\n"a"\n').path, format={"kind": "tsv", "quotes": False})
    assert rows(given, tmp_path)[0] == [{"text": '"a"'}]


def test_text_units_and_separator(tmp_path: Path) -> None:
    source = write(tmp_path, "books.txt", "one\n\ntwo\nthree\n<|endoftext|>\nfour\n")

    def texts(**settings: Any) -> list[tuple[str, str]]:
        given = Source(path=source.path, format={"kind": "text", **settings})
        return [(row.where, row.values["text"]) for row in read(given, tmp_path) if isinstance(row, Row)]

    assert texts() == [("books.txt:1", "one\n\ntwo\nthree"), ("books.txt:6", "four")]
    assert texts(unit="paragraph") == [("books.txt:1", "one"), ("books.txt:3", "two\nthree"), ("books.txt:6", "four")]
    assert [text for _, text in texts(unit="line")] == ["one", "two", "three", "four"]
    assert texts(separator=None) == [("books.txt:1", "one\n\ntwo\nthree\n<|endoftext|>\nfour")]
    assert [text for _, text in texts(separator="two")] == ["one", "three\n<|endoftext|>\nfour"]


def test_globs_are_sorted_and_rows_say_which_file(tmp_path: Path) -> None:
    for name in ("b", "a", "c/a"):
        write(tmp_path, f"parts/{name}.jsonl", f'{{"text": "{name}"}}\n')
    found = [row.where for row in read(Source(path="parts/**/*.jsonl"), tmp_path)]
    assert found == ["parts/a.jsonl:1", "parts/b.jsonl:1", "parts/c/a.jsonl:1"]


REFUSED = {
    "missing.jsonl": (None, "does not exist (did you mean 'missin.jsonl'?)"),
    "nowhere/rows.jsonl": (None, "nor does its folder"),
    "empty.jsonl": (b"", "is empty"),
    "blank.jsonl": (b" \n\n", "nothing but blanks"),
    "sheet.csv": (b"PK\x03\x04rest", "Excel"),
    "short.parquet": (b"PAR1 and no more", "not a whole Parquet file"),
    "short.jsonl.gz": (gzip.compress(JSONL.encode() * 1000)[:-40], "damaged or cut short"),
    "flipped.jsonl.gz": (gzip.compress(JSONL.encode() * 1000)[:30] + b"\x00" * 40, "damaged or cut short"),
    "odd.dat": (b"a b c", "names no format"),
    "broken.json": (b'[{"text": "a"},\n {"text": "b"', "broken JSON"),
    "single.json": (b'"just a text"', "not rows"),
    "empty.json": (b'{"rows": []}', "no list of objects"),
    "twice.csv": (b"text,text\na,b\n", "stands twice in the header"),
    "*.nothing": (None, "no file matches"),
    "http://127.0.0.1:9/rows.jsonl": (None, "cannot be fetched"),
    "ftp://example.org/rows.jsonl": (None, "ftp:// is not read"),
    "missin.jsonl/rows": (None, "does not exist"),
    "x" * 300 + ".jsonl": (None, "cannot be looked at"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_at_all_is_one_error(tmp_path: Path, name: str) -> None:
    content, said = REFUSED[name]
    write(tmp_path, "missin.jsonl", JSONL)
    if content is not None:
        write(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        list(read(Source(path=name), tmp_path))
    assert said in str(caught.value)
    assert caught.value.fix


def test_a_folder_and_a_loop_of_links_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "rows/a.csv", "text\nx\n")
    with pytest.raises(DataError, match=r"rows/\*\.csv"):
        find(Source(path="rows"), tmp_path)
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    with pytest.raises(DataError, match="cannot be looked at"):
        find(Source(path="loop.jsonl"), tmp_path)


class FakeHub(types.ModuleType):
    """Stands for the `datasets` package."""

    def __init__(self) -> None:
        super().__init__("datasets")
        self.asked: list[Any] = []

    def load_dataset(self, name: str, subset: str | None, **settings: Any) -> list[dict[str, Any]]:
        self.asked.append((name, subset, settings))
        if name == "owner/missing":
            raise FileNotFoundError("Dataset 'owner/missing' doesn't exist on the Hub")
        return [dict(row) for row in ROWS]


def test_hub_ids_are_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub()
    monkeypatch.setitem(sys.modules, "datasets", hub)
    found = list(read(Source(path="owner/name"), tmp_path))
    assert [(row.where, row.values) for row in found if isinstance(row, Row)] == [
        ("owner/name:1", ROWS[0]),
        ("owner/name:2", ROWS[1]),
    ]
    given = {"kind": "hub", "subset": "small", "split": "test", "revision": "abc"}
    list(read(Source(path="squad", format=given), tmp_path))
    assert hub.asked == [
        ("owner/name", None, {"split": "train", "revision": None, "streaming": True}),
        ("squad", "small", {"split": "test", "revision": "abc", "streaming": True}),
    ]
    with pytest.raises(DataError, match="doesn't exist on the Hub"):
        list(read(Source(path="owner/missing"), tmp_path))


def test_without_the_hub_package_the_pip_line_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependency, match=r"tunesmith\[hub\]"):
        list(read(Source(path="owner/name"), tmp_path))
