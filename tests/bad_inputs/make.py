"""Bad inputs, and what each must lead to: one clear error, or a counted drop or change.

`python -m tests.bad_inputs.make FOLDER` writes them all, to be tried by hand with `tunesmith check SPEC`.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

GOOD = [{"text": f"the card number {n} is lost", "label": "ab"[n % 2], "channel": "mail"} for n in range(30)]


@dataclass(frozen=True)
class Case:
    """One bad input.

    Args:
        spec: the spec's text; bytes are written as they are, None writes no file.
        files: name -> content; a function is given the path and makes what it likes there.
        refused: what the one error must say; empty when the run may go on.
        dropped: reason -> rows that must be counted as dropped, and no others.
        changed: reason -> rows that must be counted as changed.
    """

    spec: str | bytes | None
    files: dict[str, bytes | Callable[[Path], None]] = field(default_factory=dict)
    refused: str = ""
    dropped: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)


def lines(*rows: Any) -> bytes:
    return b"".join(row + b"\n" if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)


def spec(source: str = "rows.jsonl", more: str = "", data: str = "") -> str:
    return f"name: bad\ngoal: {{task: classify}}\ndata:\n  sources: [{source}]\n{data}base: {{model: ./tiny}}\n{more}"


def counted(*bad: Any, **reasons: int) -> Case:
    """Good rows, then bad ones that are counted."""
    dropped = {reason.replace("_", " "): count for reason, count in reasons.items()}
    return Case(spec(), {"rows.jsonl": lines(*GOOD, *bad)}, dropped=dropped)


def as_csv(text: str, name: str = "rows.csv", **expected: Any) -> Case:
    good = "".join(f"the card number {n} is lost,{'ab'[n % 2]}\n" for n in range(30))
    return Case(spec(name), {name: ("text,label\n" + good + text).encode()}, **expected)


def refused(said: str, *rows: Any, **more: Any) -> Case:
    """Rows that must not be trained on."""
    return Case(more.pop("spec", None) or spec(**more), {"rows.jsonl": lines(*(rows or GOOD))}, refused=said)


def whole(name: str, content: bytes | Callable[[Path], None], said: str) -> Case:
    """A file that cannot be read at all."""
    return Case(spec(json.dumps(name)), {name: content}, refused=said)


def typo(said: str, old: str, new: str) -> Case:
    """A good spec with one thing wrong."""
    text = spec(more="train: {objective: classify, adapter: full, optimizer: {kind: adamw, lr: 1e-3}}\n")
    assert old in text
    return Case(text.replace(old, new), {"rows.jsonl": lines(*GOOD)}, refused=said)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "part.csv").write_text("text,label\n")


def _short_parquet(path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(GOOD), path)
    path.write_bytes(path.read_bytes()[:-200])


def _other_encoding(name: str) -> Case:
    rows = [json.dumps({**row, "text": f"schöne {row['text']}"}, ensure_ascii=False) for row in GOOD]
    return Case(spec(), {"rows.jsonl": "\n".join(rows).encode(name)})


SAME, CONFLICT = "same content as an earlier row", "same text as an earlier row, another label"
REPAIRED = "bytes of another encoding (cp1252) read as what they are"
NOT_UTF8 = "bytes that are not of the file's encoding"
DEEP = b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
UMLAUT = json.dumps({"text": "schön", "label": "a"}, ensure_ascii=False).encode()

CASES: dict[str, Case] = {
    # Rows that are counted
    "broken_json": counted(b'{"text": "a", ', b"nonsense", broken_JSON=2),
    "not_an_object": counted([1, 2], 3, None, not_a_JSON_object=3),
    "key_twice": counted(b'{"text": "a", "text": "b", "label": "a"}', a_key_stands_twice_in_one_object=1),
    "nested_deeply": counted(DEEP, JSON_nested_too_deeply=1),
    "endless_number": counted(b'{"text": ' + b"9" * 6000 + b"}", a_number_too_long_to_read=1),
    "wrong_bytes": counted(UMLAUT, b'{"text": "sch\xc3\xb6n \xff\xfe", "label": "a"}', **{NOT_UTF8: 1}),
    "bytes_of_another_encoding": Case(
        spec(),
        {"rows.jsonl": lines(*GOOD, UMLAUT, UMLAUT.decode().replace("schön", "größer").encode("cp1252"))},
        changed={REPAIRED: 1},
    ),
    "ten_megabytes": counted({"text": "x" * 10_000_000, "label": "a"}, row_longer_than_8_MiB=1),
    "nan_labels": counted({"text": "u", "label": float("nan")}, {"text": "v", "label": "NaN"}, label_is_missing=2),
    "null_labels": counted({"text": "u", "label": None}, {"text": "v"}, label_is_missing=2),
    "null_text": counted({"text": None, "label": "a"}, text_is_missing=1),
    "text_is_a_list": counted({"text": ["a", "b"], "label": "a"}, text_is_not_a_text=1),
    "empty_text": counted({"text": "", "label": "a"}, {"text": " \n\t", "label": "b"}, empty_text=2),
    "half_a_character": Case(
        spec(),
        {"rows.jsonl": lines(*GOOD, {"text": "x \ud83d", "label": "a"})},
        dropped={"half a character (a lone surrogate)": 1},
    ),
    "copies": Case(spec(), {"rows.jsonl": lines(*GOOD, *GOOD[:3])}, dropped={SAME: 3}),
    "contradictions": Case(spec(), {"rows.jsonl": lines(*GOOD, {**GOOD[0], "label": "b"})}, dropped={CONFLICT: 1}),
    "control_characters": Case(
        spec(),
        {"rows.jsonl": lines(*GOOD, {"text": "bell \x07 and nul \x00", "label": "a"})},
        changed={"control characters removed": 1},
    ),
    "mojibake": Case(
        spec(), {"rows.jsonl": lines(*GOOD, {"text": "schÃ¶n", "label": "a"})}, changed={"broken encoding repaired": 1}
    ),
    "ragged_csv": as_csv("one\nx,y,z\n", dropped={"fewer values than columns": 1, "more values than columns": 1}),
    "quotes_in_csv": as_csv('"a"b,c\n', dropped={"quotes that do not match": 1}),
    "open_quote_in_csv": as_csv('"never closed,a\nthe next row,b\n', dropped={"quotes that do not match": 1}),
    "empty_values_in_csv": as_csv("words,\n,a\n", dropped={"label is missing": 1, "text is missing": 1}),
    "utf16": _other_encoding("utf-16"),
    "utf16_without_mark": _other_encoding("utf-16-le"),
    "byte_order_mark": _other_encoding("utf-8-sig"),
    "one_byte_encoding": _other_encoding("cp1252"),
    "windows_line_ends": Case(spec(), {"rows.jsonl": lines(*GOOD).replace(b"\n", b"\r\n") + b"\r\n\r\n"}),
    "wrong_ending": Case(spec("rows.json"), {"rows.json": lines(*GOOD)}),
    "mixed_types": Case(spec(), {"rows.jsonl": lines(*GOOD, {"text": 17, "label": 3}, {"text": True, "label": False})}),
    # Files that cannot be used
    "empty_file": whole("rows.jsonl", b"", "is empty"),
    "blank_file": whole("rows.jsonl", b" \n\n", "nothing but blanks"),
    "only_broken_rows": whole("rows.jsonl", b"a\nb\nc\n", "none of its 3 rows can be read"),
    "only_a_header": whole("rows.csv", b"text,label\n", "no row that can be read"),
    "missing_file": Case(spec("rows.json"), {"rows.jsonl": lines(*GOOD)}, refused="(did you mean 'rows.jsonl'?)"),
    "missing_folder": Case(spec("nowhere/at/all.csv"), refused="does not exist"),
    "unreadable_path": whole("loop.jsonl", _loop, "cannot be looked at"),
    "a_folder": whole("parts", _folder, "is a folder"),
    "no_match": Case(spec('"parts/*.csv"'), refused="no file matches"),
    "unreachable": Case(spec("http://127.0.0.1:9/rows.csv"), refused="cannot be fetched"),
    "unknown_scheme": Case(spec("gopher://example.org/rows.csv"), refused="gopher:// is not read"),
    "unknown_ending": whole("rows.dat", b"text label", "names no format"),
    "short_parquet": whole("rows.parquet", _short_parquet, "not a whole Parquet file"),
    "short_gzip": whole("rows.jsonl.gz", gzip.compress(lines(*GOOD) * 99)[:-60], "damaged or cut short"),
    "workbook_as_csv": whole("rows.csv", b"PK\x03\x04 and so on", "Excel"),
    "broken_json_file": whole("rows.json", b'[{"text": "a"}, {"text"', "broken JSON"),
    "json_nest": whole(
        "rows.json",
        json.dumps({"data": [{"title": "t", "paragraphs": [{"qas": []}]}] * 9}).encode(),
        "'paragraphs' holds nested objects",
    ),
    "json_of_one_value": whole("rows.json", b"3", "not rows"),
    "column_twice": whole("rows.csv", b"text,text,label\na,b,c\n", "stands twice in the header"),
    "numbered_tags": whole("rows.jsonl", lines(*({"tokens": ["a"], "ner_tags": [0]} for _ in range(9))), "are numbers"),
    # Rows that must not be trained on
    "all_alike": refused("29 of 30 rows (97%) would be lost", *[GOOD[0]] * 30),
    "one_class": refused("have the label 'a'", *({**row, "label": "a"} for row in GOOD)),
    "two_rows": refused("2 usable rows cannot fill 3 splits", *GOOD[:2]),
    "mostly_broken": refused("40 of 70 rows (57%) would be lost", *GOOD, *[b"broken"] * 40),
    "unknown_columns": refused("cannot tell what its columns", *({"x": n, "y": n} for n in range(9))),
    "mapped_column_missing": refused("no column 'body'", source="{path: rows.jsonl, map: {text: body, label: label}}"),
    "mapped_role_unknown": refused("no role 'lable'", source="{path: rows.jsonl, map: {text: text, lable: label}}"),
    "slice_missing": refused("no column 'chanel'", more="evaluate: {slices: [chanel]}\n"),
    "group_missing": refused("no column 'customer'", data="  split: {group: customer}\n"),
    "one_group": refused("1 groups of 'channel' cannot fill 3 splits", data="  split: {group: channel}\n"),
    "leak": refused(
        "no row is left to train on: 30 nearly equals a row that a source fixes to a split",
        source="rows.jsonl, {path: rows.jsonl, split: test}",
        data="  steps: [clean]\n",
    ),
    "rows_too_long": refused("longer than 8 tokens", data="  max_length: 8 tokens\n  too_long: refuse\n"),
    # Specs with something wrong
    "no_spec": Case(None, refused="spec.yaml"),
    "empty_spec": Case("", refused="spec.yaml"),
    "binary_spec": Case(b"\x00\xff\xfe\x80", refused="spec.yaml"),
    "spec_of_one_word": Case("train", refused="spec.yaml"),
    "tabs": typo("spec.yaml:", "  sources", "\tsources"),
    "open_bracket": typo("spec.yaml:", "[rows.jsonl]", "[rows.jsonl"),
    "key_written_twice": typo("name", "base:", "name: again\nbase:"),
    "unknown_section": typo("did you mean 'data'", "data:", "dota:"),
    "unknown_key": typo("did you mean 'sources'", "sources", "source"),
    "unknown_part": typo("did you mean 'classify'", "objective: classify", "objective: clasify"),
    "unknown_setting": typo("lrr", "lr: 1e-3", "lrr: 1e-3"),
    "wrong_type": typo("lr", "lr: 1e-3", "lr: fast"),
    "negative_rate": typo("lr", "lr: 1e-3", "lr: -1"),
    "bad_name": typo("name", "name: bad", "name: 'no/slash'"),
    "no_data": typo("data", "data:\n  sources: [rows.jsonl]\n", ""),
    "no_sources": typo("sources", "[rows.jsonl]", "[]"),
    "unknown_task": typo("task", "classify}", "clasify}"),
    "bad_quantity": typo("duration", "adapter: full", "duration: 3 fortnights"),
    "shares_above_one": refused("add up to 1", data="  split: {train: 0.9, validation: 0.9, test: 0.1}\n"),
    "two_bounds": typo(
        "exactly one", "{task: classify}", "{task: classify, targets: [{metric: accuracy, at_least: 1, at_most: 1}]}"
    ),
    "unknown_metric": typo(
        "did you mean 'accuracy'", "{task: classify}", "{targets: [{metric: acuracy, at_least: 0.9}]}"
    ),
    "missing_base": typo("nowhere", "./tiny", "./nowhere"),
    "unknown_template": refused("no template 'clasify'", more="prompt: {template: clasify}\n"),
    "template_of_an_unknown_column": refused("chanel", more="prompt: {template: '{{ text }} {{ chanel }}'}\n"),
    "template_with_a_call": refused("templates may not", more="prompt: {template: '{{ text }}{{ range(9) }}'}\n"),
    "yaml_bomb": typo("spec.yaml", "base:", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\nbase:"),
}


def write(case: Case, folder: Path) -> Path:
    """Writes one case into `folder` and returns where its spec is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in case.files.items():
        if callable(content):
            content(folder / name)
        else:
            (folder / name).write_bytes(content)
    path = folder / "spec.yaml"
    if case.spec is not None:
        path.write_bytes(case.spec if isinstance(case.spec, bytes) else case.spec.encode())
    return path


if __name__ == "__main__":
    from tunesmith.testing.tiny import tiny_model

    for name, case in CASES.items():
        print(write(case, Path(sys.argv[1]) / name), "->", case.refused or case.dropped or case.changed or "fine")
        tiny_model(Path(sys.argv[1]) / name / "tiny")
