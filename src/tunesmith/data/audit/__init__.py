"""What a data set is like, and what to do about what is wrong with it: the figures of `tunesmith data SPEC --report`.

Everything here is a plain JSON value, so that the page is drawn from the file that is written beside it. Figures a row
are computed on all rows where that is quick, and else on a seeded sample that is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.data.audit import languages, odd, readability, said
from tunesmith.data.audit.advice import advise
from tunesmith.data.audit.copies import copies
from tunesmith.data.audit.coverage import banded, coverage
from tunesmith.data.audit.labels import balance
from tunesmith.data.audit.spread import spread
from tunesmith.data.audit.table import MOST_ROWS, Column, Table, read
from tunesmith.data.audit.topics import alikeness, topics, vectors
from tunesmith.data.audit.variety import variety
from tunesmith.data.room import Room
from tunesmith.data.split import SPLITS
from tunesmith.records import Record

EXCERPT, SHOWN, GROUPS = 240, 6, 15
MOST_DETECTED = 10_000
"""Rows whose language is looked for, evenly spaced."""
MOST_COMPARED = 300_000
"""Rows up to which copies are looked for among all; of more, in the sample."""


@dataclass(frozen=True)
class Asked:
    """What the spec says that an audit looks at."""

    name: str
    task: str | None = None
    columns: Sequence[str] = ()
    """Columns the spec names: what it reports, divides or prompts by."""
    reported: Sequence[str] = ()
    """Those of them that figures are broken down by, so that gaps in them matter."""
    steps: Sequence[Any] = ()
    """The data steps, each a name or `{kind: name, setting: value}`."""
    split: Mapping[str, Any] = field(default_factory=dict)
    """The rule of the split."""
    max_length: int | None = None
    """The most tokens of a row."""
    folded: bool = False
    """Whether every row is tested, by the model of a fold."""


def audit(
    records: Sequence[Record],
    splits_N: npt.NDArray[np.int8],
    asked: Asked,
    *,
    ledger: Mapping[str, Any],
    count_tokens: Callable[[Sequence[str]], Sequence[int]],
    room: Room | None = None,
    refused: str = "",
    after: Callable[[str, int, int | None], None] = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Measures a data set and says what to do.

    Args:
        records: the rows that were kept, of all splits.
        splits_N: where each is, an index into SPLITS.
        asked: what the spec says.
        ledger: `Ledger.to_json`.
        count_tokens: how many tokens of the base's tokenizer each text has.
        room: what copies are looked for with, and the seed of all samples.
        refused: why the run would not start, where a gate says so.
        after: told of the progress.

    Returns:
        Plain JSON values; docs/data/audit.md says which.
    """
    room = room or Room()
    after("audit: rows", 0, 6)
    table = read(records, splits_N, asked.columns, room.seed)
    texts = [said.whole(record) for record in table.sample]
    after("audit: words", 1, 6)
    words = [said.words(text) for text in texts]
    found: dict[str, Any] = {
        "name": asked.name,
        "task": asked.task,
        "seed": room.seed,
        "refused": refused,
        "sampled": None if table.whole else {"rows": len(table.sample), "of": len(table)},
        "sizes": _sizes(table, count_tokens, ledger),
        "labels": balance(table.label_counts),
        "variety": {**variety(words, room.seed), "answers": _answers(table.sample)},
    }
    after("audit: topics", 2, 6)
    found |= _topics(table, texts, room.seed)
    after("audit: languages", 3, 6)
    found["languages"] = _languages(table, room)
    found["readability"], grades = _readability(table, found["languages"], room)
    after("audit: copies", 4, 6)
    found["copies"] = _copies(records, table, asked, room)
    after("audit: odd rows", 5, 6)
    found["odd"] = [{**row, **_shown(table, row["row"])} for row in odd.odd_rows(texts)]
    found["coverage"] = coverage(_columns(table, grades), asked.reported, splits_N)
    found["groups"] = _groups(table, asked)
    found["steps"] = list(ledger.get("steps") or [])
    found["ledger"] = {key: ledger.get(key) for key in ("rows", "dropped", "changed", "sources", "duplicates")}
    found["findings"] = advise(found, asked)
    after("audit: odd rows", 6, 6)
    whole: dict[str, Any] = _writable(found)
    return whole


def _writable(value: Any) -> Any:
    """JSON values without halves of surrogate pairs, which no file can hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_writable(key): _writable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_writable(each) for each in value]
    return value


def _sizes(
    table: Table, count_tokens: Callable[[Sequence[str]], Sequence[int]], ledger: Mapping[str, Any]
) -> dict[str, Any]:
    """Rows, words and tokens of each split, and how the lengths of prompts and answers are spread."""
    words_N = table.prompts_N + table.answers_N
    prompts = np.array(count_tokens([said.prompt(record) for record in table.sample]), np.int64)
    answers = np.array(count_tokens([said.answer(record) for record in table.sample]), np.int64)
    sampled_N = table.splits_N[table.sample_rows]
    splits = []
    for number, name in enumerate(SPLITS):
        inside = table.splits_N == number
        tokens = int((prompts + answers)[sampled_N == number].sum())
        share = float((sampled_N == number).sum() / inside.sum()) if inside.any() else 1.0
        truncated = (ledger.get("splits", {}).get(name) or {}).get("truncated") or {}
        splits.append(
            {
                "name": name,
                "rows": int(inside.sum()),
                "words": int(words_N[inside].sum()),
                "tokens": round(tokens / share) if share else 0,
                "truncated": truncated.get("rows", 0),
                "lost_tokens": truncated.get("tokens", 0),
            }
        )
    written = bool(table.answers_N.any())
    lengths = [spread("words in a prompt" if written else "words in a row", table.prompts_N)]
    lengths.append(spread("tokens in a prompt" if written else "tokens in a row", prompts))
    if written:
        lengths += [spread("words in an answer", table.answers_N), spread("tokens in an answer", answers)]
    return {
        "rows": len(table),
        "words": int(words_N.sum()),
        "tokens": sum(split["tokens"] for split in splits),
        "characters": int(table.characters_N.sum()),
        "splits": splits,
        "lengths": [one for one in lengths if one is not None],
        "empty": int((words_N == 0).sum()),
    }


def _answers(sample: Sequence[Record]) -> dict[str, Any] | None:
    """How often the same answer is given, where answers are written."""
    given = Counter(text for text in map(said.answer, sample) if text)
    if not given:
        return None
    (most, count), total = given.most_common(1)[0], sum(given.values())
    return {"rows": total, "different": len(given), "commonest": most[:EXCERPT], "share": count / total}


def _topics(table: Table, texts: Sequence[str], seed: int) -> dict[str, Any]:
    vectors_ = vectors(texts)
    alike = alikeness(vectors_) if vectors_ else None
    made = topics(vectors_, seed) if vectors_ else None
    if made is None:
        return {"alikeness": alike, "topics": []}
    found, of_N = made
    for number, topic in enumerate(found):
        topic["examples"] = [_shown(table, at) for at in topic.pop("middle")]
        topic["label"] = _main_label(table, np.flatnonzero(of_N == number))
    return {"alikeness": alike, "topics": found}


def _main_label(table: Table, rows: npt.NDArray[np.int64]) -> dict[str, Any] | None:
    """The label most of a topic's rows have."""
    labels = Counter(label for at in rows.tolist() for label in table.sample[at].labels)
    if not labels:
        return None
    (label, count), total = labels.most_common(1)[0], sum(labels.values())
    return {"label": label, "share": count / total}


def _languages(table: Table, room: Room) -> dict[str, Any]:
    count = len(table.sample)
    looked = np.linspace(0, count - 1, min(count, MOST_DETECTED)).astype(np.int64).tolist()
    found = languages.summary(room.map(languages.language, [table.sample[at] for at in looked]))
    others = [looked[at] for at in found.pop("others")]
    return {
        **found,
        "rows": len(looked),
        "other": len(others),
        "examples": [_shown(table, at) for at in others[:SHOWN]],
    }


def _readability(
    table: Table, found: Mapping[str, Any], room: Room
) -> tuple[dict[str, Any] | None, npt.NDArray[np.float64]]:
    """Grades of English rows; None where most rows are in another language."""
    if found["main"] not in (None, "en"):
        return None, np.full(len(table.sample), np.nan)
    grades = np.array(list(room.map(readability.grade_of, table.sample)), np.float64)
    shown = spread("school grade", np.clip(grades, -3, 30))
    if shown is None:
        return None, grades
    order = np.argsort(np.where(np.isnan(grades), -np.inf, grades), kind="stable")
    middle = order[len(order) // 2] if len(order) else 0
    picked = [("easy", order[len(order) // 20]), ("usual", middle), ("hard", order[-len(order) // 20])]
    examples = [{"what": what, "grade": float(grades[at]), **_shown(table, int(at))} for what, at in picked]
    return {"grades": shown, "examples": [row for row in examples if np.isfinite(row["grade"])]}, grades


def _copies(records: Sequence[Record], table: Table, asked: Asked, room: Room) -> dict[str, Any]:
    everything = len(records) <= MOST_COMPARED
    rows = records if everything else table.sample
    splits_N = table.splits_N if everything else table.splits_N[table.sample_rows]
    similarity = float(asked.split.get("similarity") or 0.8)
    found = copies(rows, splits_N, similarity, room)
    wanted = {at for example in found["examples"] for at in example["at"]}
    shown = {at: _row(record) for at, record in enumerate(rows) if at in wanted}
    for example in found["examples"]:
        example["examples"] = [shown[at] for at in example.pop("at")]
    return {"rows": len(rows), **found}


def _columns(table: Table, grades: npt.NDArray[np.float64]) -> list[Column]:
    """What coverage is told by: labels and the spec's columns, and bands of length and difficulty."""
    columns = list(table.columns)
    words = (table.prompts_N + table.answers_N).astype(np.float64)
    columns += [one for one in [banded("length", words, ("short", "medium", "long"))] if one]
    if table.whole:
        columns += [one for one in [banded("difficulty", grades, ("easy", "medium", "hard"))] if one]
    return columns


def _groups(table: Table, asked: Asked) -> list[dict[str, Any]]:
    """How many rows each value of the spec's columns has, the commonest first."""
    made = []
    for column in table.columns:
        if column.name not in asked.columns:
            continue
        sizes = np.bincount(column.of_N, minlength=len(column.values))
        tests = np.bincount(column.of_N[table.splits_N == SPLITS.index("test")], minlength=len(column.values))
        order = np.argsort(-sizes, kind="stable")[:GROUPS].tolist()
        rows = [
            {
                "value": column.values[at],
                "rows": int(sizes[at]),
                "share": float(sizes[at] / len(table)),
                "test": int(tests[at]),
            }
            for at in order
        ]
        made.append({"column": column.name, "different": len(column.values), "values": rows})
    return made


def _shown(table: Table, at: int) -> dict[str, Any]:
    return _row(table.sample[at])


def _row(record: Record) -> dict[str, Any]:
    text = " ".join(said.whole(record)[: 4 * EXCERPT].split())
    cut = text[:EXCERPT] + ("\N{HORIZONTAL ELLIPSIS}" if len(text) > EXCERPT else "")
    return {"source": record.source, "text": cut, "labels": list(record.labels)}


__all__ = ["MOST_ROWS", "Asked", "audit"]
