"""`tunesmith init`: looks at a data file and writes a sparse spec, with the reasons as comments."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from itertools import islice
from pathlib import Path

from tunesmith.data.read.find import find, read
from tunesmith.data.read.recognised import Recognised
from tunesmith.data.read.row import to_record
from tunesmith.data.read.shape import recognise
from tunesmith.data.read.values import BadRow
from tunesmith.data.readers import Row
from tunesmith.errors import DataError
from tunesmith.models.facts import base_facts
from tunesmith.records import Record, Shape
from tunesmith.spec.sections import Source

LOOKED_AT = 2000
"""Rows read; a draft needs no more."""
_FEW_VALUES = 20
"""A column with at most so many values is worth reporting by."""

_TASKS: dict[Shape, str] = {
    "label": "classify",
    "spans": "extract",
    "chat": "chat",
    "pair": "chat",
    "text": "generate",
}
_TARGETS = {
    "classify": ("accuracy", 0.90, "share of rows labelled right"),
    "extract": ("entity_f1", 0.80, "entities found with the right borders and label"),
    "parse": ("exact_match", 0.60, "share of rows whose JSON is right in every field"),
    "chat": ("token_f1", 0.50, "words shared with the right answer"),
    "answer": ("exact_match", 0.60, "share of answers equal to the right one"),
    "summarize": ("rougeL", 0.30, "longest common subsequence with the right summary"),
    "generate": ("perplexity", 20, "how surprised the model is by a token of unseen text; less is better"),
}


def draft(source: str, *, base: str = "bundled", name: str | None = None, spec_folder: Path = Path()) -> str:
    """A spec for a data file, as text.

    Args:
        source: a file, glob or hub id, relative to the current folder.
        base: the model to start from.
        name: the run's name; derived from the file's when None.
        spec_folder: where the spec will lie; its paths are relative to that.

    Raises:
        DataError: the file cannot be read, or its columns are not recognised.
    """
    said = Source(path=source)
    rows = [row for row in islice(read(said, Path()), LOOKED_AT) if isinstance(row, Row)]
    recognised = recognise(rows, None, None)
    records = _records(rows, recognised)
    if not records:
        raise DataError("none of its rows can be used", where=source, fix="look at them; each lacks a text or label")
    is_file = "://" not in source and find(said, Path())[0].reader.kind != "hub"
    path = os.path.relpath(source, spec_folder) if is_file else source
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source).stem.split("*")[0]).strip("-._") or "my-model"
    task = _task(recognised, records)
    metric, bound, meaning = _TARGETS["parse" if _generates_spans(base, records) else task]
    sense = "at_most" if metric == "perplexity" else "at_least"
    lines = [
        f"# {source}: {recognised.said()}.",
        f"# Looked at {len(rows):,} rows. Check: tunesmith check SPEC. Run: tunesmith run SPEC.",
        f"name: {name}",
        "goal:",
        f"  task: {task}",
        "  targets:",
        f"    - {{metric: {metric}, {sense}: {bound}}}  # {meaning}; set what you need",
        "data:",
        f"  sources: [{json.dumps(path, ensure_ascii=False)}]",
        *_label_lines(records),
        "base:",
        f"  model: {base}  # or a folder, a hub id such as Qwen/Qwen3-0.6B, or run:NAME/N",
        *_slice_lines(rows, recognised),
        "# Everything else is derived; `tunesmith show SPEC` prints each value with its reason.",
    ]
    return "\n".join(lines) + "\n"


def _records(rows: list[Row], recognised: Recognised) -> list[Record]:
    records = []
    for row in rows:
        try:
            records.append(to_record(row, recognised, (), 1.0))
        except BadRow:
            continue
    return records


def _task(recognised: Recognised, records: list[Record]) -> str:
    roles = set(recognised.columns)
    if recognised.shape == "chat" and "answer" in roles:
        column = recognised.columns["answer"].lower()
        if "summar" in column or "highlight" in column:
            return "summarize"
        if recognised.columns.get("prompt", "").lower() == "question" and _short_answers(records):
            return "answer"
    return _TASKS[recognised.shape]


def _generates_spans(base: str, records: list[Record]) -> bool:
    """Stretches and a label of the whole are written out as JSON by a base that can write."""
    spans_and_label = all(record.spans is not None and record.labels for record in records)
    return spans_and_label and base_facts(base, workspace=Path()).family != "encoder"


def _short_answers(records: list[Record]) -> bool:
    lengths = sorted(len(record.answer.split()) for record in records)
    return lengths[len(lengths) // 2] <= 8


def _label_lines(records: list[Record]) -> list[str]:
    counts = Counter(label for record in records for label in record.labels)
    if not counts:
        return []
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    return [f"  # {len(counts)} labels among them, from {most!r} ({many:,} rows) to {least!r} ({few:,})"]


def _slice_lines(rows: list[Row], recognised: Recognised) -> list[str]:
    used = set(recognised.columns.values())
    names = {column for row in rows for column in row.values if column not in used}
    found = []
    for column in sorted(names):
        values = {row.values[column] for row in rows if isinstance(row.values.get(column), str | bool | int)}
        if 2 <= len(values) <= _FEW_VALUES and len(values) < len(rows) / 10:
            found.append(column)
    if not found:
        return []
    columns = ", ".join(json.dumps(column, ensure_ascii=False) for column in found[:6])
    return ["evaluate:", f"  slices: [{columns}]  # columns with few values: figures are broken down by them"]
